"""The farm's contract, line by line, with the tests that show each line.

The words are the contract's own. A line without a test, with one that is not there, or with none
that quotes it, is a fault; so is a quote in a test of this folder that is in no line. Left out are
the lines that are not kept, which docs/apps/farm.md names, and the model of rules, which is the
platform's and has its own tests.
"""

from pathlib import Path

import pytest

from tests.apps.contract import Line, fault_of, line, unknown_quotes

FOLDER = Path(__file__).parent

MQTT = [
    line(
        "Username = device uuid, password = device token; several clients may share them. … can be "
        "revoked (live connections close at once, MQTT 5 reason 0x87/0x98), and are checked at "
        "each connect. Refused: MQTT 3.1.1 return code 4/5.",
        "test_mqtt::test_user_name_is_the_uuid_and_password_a_token_of_it",
        "test_mqtt::test_a_revoked_token_closes_live_connections_at_once",
    ),
    line(
        "A token in the payload (`token` or `accessToken`) is accepted as proof for that message "
        "too (a gateway publishing for others), and is never stored, logged or echoed.",
        "test_tokens::test_a_gateway_publishes_for_another_by_its_token",
        "test_tokens::test_a_wrong_token_refuses_the_message_whoever_sends_it",
        "test_tokens::test_a_token_is_neither_stored_nor_shown_again",
    ),
    line(
        "`devices/{uuid}/datastream` up: one: `value` (string, number, bool), `telemetryDataId` "
        "and/or `variableName`, `token?`, `recievedAt?`, `timestamp?`, `urgent?`, "
        '`thresholds{min,max}?`; many: `{"dataStreams":[{…}], "token"}` (1..1000); a bare number '
        "or text = `{value}` for a sensor with one variable. One row per value; realtime; rules; "
        "alarm if `urgent` or outside thresholds",
        "test_streams::test_a_value_by_mqtt_is_a_row_an_event_and_a_reading",
        "test_streams::test_a_batch_is_stored_whole_or_not_at_all",
        "test_streams::test_a_bare_value_is_for_a_sensor_with_one_variable",
        "test_streams::test_urgent_and_out_of_bounds_raise_alarms",
        "test_rules::test_a_value_that_passes_the_filter_sets_the_device_once",
    ),
    line(
        '`devices/{uuid}/status` up: `{"status":"online","timestamp","token"?,"metadata":'
        '{"battery":85,"signal":-45}}`: stored, presence',
        "test_places::test_a_status_keeps_what_it_does_not_say",
        "test_live::test_what_a_device_says_of_itself_and_alarms_are_told",
    ),
    line(
        '`devices/{uuid}/commands`: `{"command":"restart","parameters":{"delay":5,"reason":'
        '"maintenance"},"token"?}` down to the device.',
        "test_mqtt::test_a_command_goes_to_the_device_s_own_topic",
    ),
    line(
        '`devices/{uuid}/state` down QoS 1: `{"type":"device_state_change","deviceUuid",'
        '"deviceName","deviceType","stateName","oldValue","newValue","initiatedBy","timestamp",'
        '"priority","metadata":{deviceId,isCritical,initiatorId}}`: sent on each state change',
        "test_states::test_a_new_state_reaches_the_device_and_is_delivered_by_its_puback",
        "test_mqtt::test_who_listens_to_states_alone_is_not_held_up_by_other_commands",
    ),
    line(
        '`organizations/{orgId}/broadcast`: any; ours down: `{"type":"broadcast",'
        '"organizationId","message","timestamp"}` to members of the organisation only',
        "test_mqtt::test_a_broadcast_reaches_members_of_the_farm_only",
    ),
    line(
        '`organizations/{orgId}/rule-chains` down `{"type":"rule_chain_execution",…}`',
        "test_rules::test_a_chain_is_run_by_hand_and_told_to_its_organization",
    ),
    line(
        "Also answered: the singular prefix `device/{uuid}/…` and `orgs/{org}/devices/{uuid}/…`. "
        "`telemetryDataId` without `variableName` works everywhere (HTTP too), `0` and `false` are "
        "values.",
        "test_streams::test_other_prefixes_are_answered_and_another_organization_s_is_not",
        "test_streams::test_zero_false_and_empty_text_are_values",
        "test_streams::test_the_same_value_by_mqtt_and_http_is_the_same_row_event_and_answer",
    ),
    line(
        "The server's echo of a value by HTTP goes to `devices/{uuid}/datastream` QoS 1 with "
        '`type:"data_stream"` and is not ingested again.',
        "test_streams::test_a_value_by_http_is_echoed_once_and_not_taken_in_again",
    ),
]

HTTP = [
    line(
        "`POST /auth/login {email,password}` → `data{user{id,name,email,role},permissions[],"
        "roles[],token,refreshToken}`; `/auth/signup` (409), `/auth/refresh-token`, "
        "`/auth/logout`, `/auth/me`, `/auth/forgot-password`, `/auth/reset-password`",
        "test_people::test_a_forgotten_password_is_replaced_by_a_token_of_an_administrator",
        "test_people::test_login_tells_who_he_is_and_what_he_may_do",
    ),
    line(
        "Permissions are named `device.view|create|update|delete`, likewise `area sensor "
        "organization rule`, and `permission.view|manage role.view|assign`. Roles Viewer, Org "
        "Admin, Supervisor, System Admin.",
        "test_people::test_roles_are_given_and_taken",
    ),
    line(
        "`POST /device-tokens {sensorId | deviceId, expiresAt?}` → **200** `data{id,token (64 hex, "
        "shown once),sensorId,deviceUuid,expiresAt,createdAt}`; `GET /verify` with the device "
        "token; `GET|PATCH (revoke)|DELETE /:id`; aliases `/devicetokens`, `/devicetoken`.",
        "test_tokens::test_a_token_is_shown_once_and_known_by_all_three_names",
        "test_tokens::test_a_revoked_token_opens_nothing",
    ),
    line(
        "`/datastreams` (alias `/data-streams`): `POST /token`, `POST /batch` with the **device "
        "token** as Bearer → 201 `data{id,value,telemetryDataId,recievedAt}`; with JWT `GET /`, "
        "`POST /`, `GET|PATCH|DELETE /:id`, `GET /telemetry/:telemetryDataId?from&to&limit&cursor"
        "&bucket&agg` (without parameters: the latest 1,000).",
        "test_streams::test_a_batch_by_http_takes_the_device_token",
        "test_places::test_series_are_read_newest_first_and_in_buckets",
        "test_places::test_a_value_is_corrected_and_removed",
    ),
    line(
        "`/device-states/device/:id` (`stateName,dataType,defaultValue,allowedValues` given as "
        "list, **returned as a JSON string**); `POST /device-state-instances {deviceUuid,stateName,"
        "value,initiatedBy user|device|system|rule}` → 201 (400 value not allowed; this is the "
        "farm's command), `GET /current/:stateId`, `GET /history/:stateId`.",
        "test_states::test_allowed_values_come_as_a_list_and_go_as_json_text",
        "test_states::test_a_value_that_is_not_allowed_is_400_and_nothing_happens",
        "test_states::test_current_and_history_tell_what_a_state_was",
    ),
    line(
        "`/sensors`, `/telemetry` (`variableName,datatype,sensorId`), `/areas`, `/organizations` "
        "(+ `/:id/broadcast`), `/roles`, `/permissions`, `/user-roles`: CRUD, wrapped "
        "`data{sensor}` / `data{sensors}` …; `DELETE` 204.",
        "test_places::test_things_are_wrapped_and_of_one_farm",
        "test_access::test_every_route_has_its_line",
    ),
    line(
        "`/rule-chains`: CRUD, `/:id/nodes`, `/nodes`, `/nodes/:id`, `POST /:id/execute`, `POST "
        "/:id/trigger`. `/reports/{device-status,sensor-telemetry,organization-hierarchy,"
        "area-utilization,rule-chain-execution,sensor-anomaly}?organizationId&page&limit`.",
        "test_rules::test_nodes_are_added_linked_changed_and_taken_out",
        "test_places::test_reports_are_pages_of_figures",
    ),
    line(
        '`GET /health` → 200 `{status:"ok",timestamp,services{database{status},mqtt{status,'
        "connectedClients,authenticatedClients,port,host}}}` or 503; `/health/liveness`, "
        "`/health/readiness`. `GET /metrics/prometheus`. MQTT statistics `{isInitialized,"
        "connectedClients,authenticatedClients,port,host}`.",
        "test_people::test_health_says_how_database_and_mqtt_are",
        "test_people::test_statistics_say_where_mqtt_is",
    ),
    line(
        "Page `GET /mqttClient.html`: a browser MQTT client (connect over ws 9001 with username "
        "and token, subscribe, publish, log).",
        "test_page::test_a_page_connects_subscribes_publishes_and_logs",
    ),
]

OTHERS = [
    line(
        'Action `{type:"DEVICE_COMMAND",command:{deviceUuid,stateName,value,initiatedBy}}`',
        "test_rules::test_a_value_that_passes_the_filter_sets_the_device_once",
    ),
    line(
        "`auth:{token}` (a JWT). Client → server: `join` and `leave` with a room or a list. Rooms "
        "are allowed only inside the caller's organisation.",
        "test_live::test_who_shows_no_token_is_not_let_in",
        "test_live::test_rooms_that_are_not_the_caller_s_are_refused",
    ),
    line(
        "`new-datastream`, `telemetry-{telemetryDataId}`: `{dataStream{id,value,telemetryDataId,"
        "recievedAt},timestamp}`: the latest per variable at most N times a second (setting), "
        "never silence",
        "test_live::test_a_value_is_told_to_the_room_of_its_variable",
        "test_live::test_500_values_a_second_are_few_events_but_never_silence",
    ),
    line(
        "`device-state-change`: `device-uuid-{uuid}`, `device-{id}` (once per socket even if in "
        "both)",
        "test_live::test_a_state_change_is_told_once_to_who_is_in_both_rooms",
    ),
    line(
        "Priority high: urgent, outside thresholds, critical device, state name with error/fault/"
        "alarm/emergency/critical, null ↔ value, boolean flip, change > 50 %.",
        "test_states::test_priority_follows_the_contract",
    ),
    line(
        "POST/PUT on `/devices/{uuid}/datastream|status`, `/orgs/{org}/devices/{uuid}/…`, "
        "`/datastreams` with `deviceUuid`; token in the body (`token`), as `?token=`; replies 2.04 "
        "`{ok:true,result}`, 4.00, 4.01, 5.00; GET with Observe (RFC 7641) on "
        "`/devices/{uuid}/commands` and `/state`.",
        "test_coap::test_a_value_by_coap_is_the_row_and_answer_that_it_is_by_mqtt",
        "test_coap::test_a_wrong_value_is_refused_for_the_same_reason",
        "test_coap::test_an_observer_is_shown_each_new_state_until_his_token_ends",
    ),
]

CONTRACT = [*MQTT, *HTTP, *OTHERS]


@pytest.mark.parametrize("said", CONTRACT, ids=lambda said: said.words[:60])
def test_every_line_has_tests_and_one_of_them_quotes_it(said: Line) -> None:
    assert fault_of(said, FOLDER) is None


def test_what_the_tests_quote_stands_in_the_contract() -> None:
    assert unknown_quotes(CONTRACT, FOLDER) == []
