"""The contract of messaging, line by line, with the tests that show each line.

The words are the contract's own. A line without a test, or with one that is not there or does not
quote it, is a fault; so is a quote in a test of this folder that stands in no line. Brokers other
than the embedded one are for a later time: the first line is shown for that one.
"""

from pathlib import Path

import pytest

from tests.apps.contract import Line, fault_of, line, unknown_quotes

FOLDER = Path(__file__).parent

IDENTITY = [
    line(
        "Identity: JWT Bearer (HS256 shared secret such as Supabase's, or RS256/ES256 by JWKS URL; "
        "`sub` is the user id). Unknown body fields → 400 naming them.",
        "test_rights::test_the_sub_of_a_shared_secrets_token_is_the_user_id",
        "test_rest::test_what_cannot_be_published_is_refused_by_name",
    ),
]

REST = [
    line(
        '`GET /mqtt/health` (open) | | `{status:"ok",service:"mqtt",timestamp,version}`',
        "test_rest::test_health_is_open",
    ),
    line(
        "`GET /mqtt/status` | | `{isConnected,clientId,connectedAt?,lastError?,reconnectAttempts}`",
        "test_rest::test_status_says_how_the_broker_stands",
    ),
    line(
        "`GET /mqtt/stats` | | `{isConnected,clientId,totalSubscriptions,activeSubscriptions,"
        "reconnectAttempts,connectedAt,lastError}`",
        "test_rest::test_stats_count_the_organisations_subscriptions",
    ),
    line(
        "`POST /mqtt/publish` | `{topic,payload: any JSON,qos? 0-2,retain?}` | 200 "
        "`{success,topic,timestamp}`; 403 not permitted; 400 wildcard or bad topic; 503 broker "
        "away",
        "test_rest::test_any_json_is_published",
        "test_rest::test_what_cannot_be_published_is_refused_by_name",
        "test_rest::test_a_broker_that_takes_nothing_is_503",
    ),
    line(
        "`POST /mqtt/subscribe` | `{topic,qos?}` | **201** "
        "`{success,subscription{id,topic,qos,userId,createdAt,isActive}}`",
        "test_rest::test_a_subscription_over_http_is_heard_by_the_users_sockets",
    ),
    line(
        "`DELETE /mqtt/unsubscribe/{topic}` | topic percent-encoded or with plain slashes | 200 "
        "`{success,topic,timestamp}`; 404",
        "test_rest::test_a_topic_in_the_path_is_encoded_or_plain",
    ),
    line(
        "`GET /mqtt/subscriptions` | | `{total,subscriptions[]}` of the caller; `/all` for "
        "administrators only",
        "test_rest::test_everybodys_subscriptions_are_for_administrators",
    ),
    line(
        "`POST /mqtt/broadcast` | `{topic,message:{…},includeTimestamp?=true}` | 200 "
        "`{success,topic,timestamp}`; publishes QoS 1, not retained, `{...message, timestamp (if "
        "asked), broadcast:true}`",
        "test_rest::test_a_broadcast_reaches_everybody_once",
    ),
    line(
        "`GET /mqtt/history?topic=<filter>&since&limit` | ours | stored messages of topics under "
        "history policy, with cursor",
        "test_history::test_history_is_read_in_pages",
    ),
]

SOCKET_IO = [
    line(
        "Socket.IO, listener 3001, namespace `/mqtt`, `auth: {token}`; a bad token refuses the "
        "connection",
        "test_sockets::test_a_bad_token_refuses_the_connection",
    ),
    line(
        "Replies are **events** (and also the acknowledgement callback, if given)",
        "test_sockets::test_replies_are_events_and_the_acknowledgement",
    ),
    line(
        "connect | | `mqtt:status` (status object)",
        "test_sockets::test_whoever_connects_is_told_the_status",
    ),
    line(
        "`mqtt:status` | – | `mqtt:status`",
        "test_sockets::test_whoever_connects_is_told_the_status",
    ),
    line(
        "`mqtt:publish` | `{topic,payload,qos?,retain?}` | `mqtt:publish:success "
        "{topic,timestamp}` or `mqtt:publish:error {error}`",
        "test_sockets::test_errors_are_events_and_the_acknowledgement",
        "test_sockets::test_the_first_test_of_every_user",
    ),
    line(
        "`mqtt:subscribe` | `{topic,qos?}` | `mqtt:subscribe:success` (subscription) or "
        "`mqtt:subscribe:error {error}`; retained messages follow",
        "test_sockets::test_errors_are_events_and_the_acknowledgement",
        "test_sockets::test_retained_messages_follow_a_subscription",
    ),
    line(
        "`mqtt:unsubscribe` | `{topic}` | `mqtt:unsubscribe:success {topic}` or `:error`",
        "test_sockets::test_errors_are_events_and_the_acknowledgement",
        "test_sockets::test_replies_are_events_and_the_acknowledgement",
    ),
    line(
        "`mqtt:subscriptions` | – | `mqtt:subscriptions [...]`",
        "test_sockets::test_replies_are_events_and_the_acknowledgement",
    ),
    line(
        "push | | `mqtt:message {topic,payload,qos,timestamp,retain,messageId}`; payload parsed if "
        'JSON, else text, else base64 with `encoding:"base64"`',
        "test_sockets::test_payloads_are_said_as_plainly_as_they_can_be",
        "test_sockets::test_the_first_test_of_every_user",
    ),
]

RULES = [
    line(
        "Wildcards `+` and `#` work. A subscription is the user's, counted by reference: one "
        "user's unsubscribe or disconnect never cuts off another. N sockets share one broker "
        "subscription. Reconnecting with `auth:{token, since}` resumes without a gap where history "
        "is kept.",
        "test_sockets::test_a_message_reaches_a_socket_once_however_many_filters_match",
        "test_sockets::test_one_users_end_never_cuts_off_another",
        "test_history::test_resuming_gives_everything_once",
        "test_model::test_each_socket_gets_exactly_what_the_model_says",
    ),
    line(
        "**Topic permissions** per user and role, as templates: `app/users/{userId}/#`, "
        "`app/chat/rooms/{roomId}` for members, `app/chat/direct/{a}/{b}` for a and b only, "
        "`notifications/{userId}`, `broadcast/#` read for all and write for administrators, "
        "`sensors/#` read. Denied → error, audited.",
        "test_rights::test_templates_say_who_reads",
        "test_rights::test_templates_say_who_writes",
        "test_rights::test_nothing_of_somebody_else_is_read_or_written",
    ),
    line(
        "Server-side handlers for app authors: a decorated function on `notifications/{user_id}`, "
        "with wildcards; `publish()` from any service.",
        "runtime/test_hearers::test_a_function_hears_a_template_with_places_body_and_services",
    ),
    line(
        "Topic convention: `app/users/{userId}/{notifications,messages,status}`, "
        "`app/chat/rooms/{roomId}`, `app/chat/direct/{a}/{b}`, "
        "`app/sensors/{temperature,humidity}`, `app/broadcast/{announcements,alerts}`.",
        "test_rights::test_templates_say_who_reads",
    ),
    line(
        "First test of every user: the React sample (connect, subscribe `chat/room1` QoS 1, "
        "publish to it, receive the own `mqtt:message`), the curl lines above, `mqtt sub -t "
        "'test/#'` / `mqtt pub -t test/hello` from the npm package `mqtt`.",
        "test_sockets::test_the_first_test_of_every_user",
        "test_npm::test_the_npm_clients_first_test",
    ),
]

LINES = [*IDENTITY, *REST, *SOCKET_IO, *RULES]


@pytest.mark.parametrize("each", LINES, ids=lambda each: each.words[:60])
def test_each_line_of_the_contract_has_tests_that_quote_it(each: Line) -> None:
    assert fault_of(each, FOLDER) is None


def test_no_test_quotes_what_the_contract_does_not_say() -> None:
    assert unknown_quotes(LINES, FOLDER) == []
