"""The contract of the tablets, line by line, with the tests that show each line.

The words are the contract's own. A line without a test, with one that is not there, or with none
that quotes it or names what it names, is a fault; so is a quote in a test of this folder that is in
no line. Left out is how the server comes back to a broker of somebody else's: it serves its own.
"""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from tests.apps.contract import Line, fault_of, line, unknown_quotes, unsaid_names

FOLDER = Path(__file__).parent
HELPERS = ("field", "house", "tablet", "workshop")
# All that the lines say, without blanks and `*`: no line goes, and none changes, unnoticed.
DIGEST = "5bd4eb275181994c984cdeeea88f013d0a429c13f19b23feb6331ff4eb06c9de"
# Places in a pattern and types of fields, which no test has to name.
NO_NAMES = {"deviceId", "bool", "lng", "NNN", "YYYYMMDD"}
DOCTOR = "cli/test_doctor::"

SETTINGS = [
    line(
        "`MQTT_BROKER_URL=mqtt://localhost:1883`, `MQTT_USERNAME=`, `MQTT_PASSWORD=` (empty = "
        "anonymous), `MQTT_CLIENT_ID=ontrak-backend`. With our embedded broker none of them is "
        "needed.",
        "test_connection::test_a_broker_of_the_field_that_is_not_there_is_named_once",
    ),
    line(
        "`fleetwire doctor` says in plain words what is wrong (nothing listens there, refused, "
        "time-out, bad credentials, anonymous not allowed, TLS) and what to do.",
        "test_connection::test_the_doctor_says_that_nothing_answers",
        DOCTOR + "test_an_external_broker_that_cannot_be_reached",
        DOCTOR + "test_an_external_broker_is_really_asked",
    ),
    line(
        "First test of every user, word for word: `mosquitto_sub -h localhost -t tablet/+/status` "
        "in one terminal, `mosquitto_pub -h localhost -t tablet/test-device/status -m "
        """'{"battery":100,"wifiStatus":true}'` in another. The subscriber sees it, and """
        "`test-device` appears in the dashboard, ONLINE at 100 %.",
        "test_first_test::test_the_first_test_of_every_user",
    ),
]

CONNECTION = [
    line(
        "Paho Java, MQTT 3.1.1 (falls back to 3.1), client id `ontrak_tablet_{deviceId}`, "
        "**cleanSession=false**, keep-alive 60, reconnects by itself; Will on `tablet/{id}/status` "
        "QoS 1 not retained, whose payload is a status object with `battery 0, wifiStatus false, "
        "uptime 0, bootTime 0, …`.",
        "test_connection::test_both_protocols_of_the_field_keep_a_session_and_a_will",
        "test_live::test_a_tablet_that_falls_silent_without_a_word_is_offline_within_seconds",
    ),
    line(
        "A real status never has `uptime` 0 and `bootTime` 0 together: that (and the Will itself) "
        "means **OFFLINE**, and must not store battery 0.",
        "test_status::test_the_marker_means_offline_and_keeps_the_last_battery",
        "test_status::test_half_the_marker_is_a_status",
        "test_live::test_a_dead_tablet_is_offline_with_its_last_battery",
    ),
    line(
        "Commands sent while it sleeps wait for it.",
        "test_live::test_a_command_to_a_sleeping_tablet_arrives_once_when_it_wakes",
    ),
]

TOPICS = [
    line(
        "(`{id}` = `deviceCode`, the 16-hex Android id, or any other name)",
        "test_connection::test_a_tablet_may_have_any_name",
    ),
    line(
        "`tablet/{id}/status` up, 30 s, QoS 1: `deviceId, battery int %, wifiStatus bool, uptime "
        "ms, isCharging, batteryHealth GOOD|OVERHEAT|DEAD|OVER_VOLTAGE|FAILURE|COLD|UNKNOWN, "
        "chargingMethod USB|AC|WIRELESS|NONE|UNKNOWN, mobileDataEnabled, networkConnected, "
        "screenOn, volumeLevel 0-100, bluetoothEnabled, installedAppsCount, bootTime ms, timestamp "
        "ms`; the least is `battery, wifiStatus`",
        "test_status::test_the_push_holds_every_field_of_the_contract",
        "test_status::test_every_word_of_the_contract_is_kept",
        "test_status::test_the_ends_of_a_range_are_within_it",
        "test_status::test_the_least_status_makes_the_tablet_online",
        "test_live::test_a_partial_status_wipes_nothing",
    ),
    line(
        "device row, last seen, ONLINE; push `device_status`",
        "test_status::test_the_least_status_makes_the_tablet_online",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`tablet/{id}/location` up, 60 s: `deviceId, latitude, longitude, accuracy m, timestamp` "
        "(+ `speed, heading`)",
        "test_location::test_a_place_is_pushed_and_makes_the_tablet_online",
        "test_endpoints::test_a_place_is_shown_with_all_that_was_said_of_it",
        "test_location::test_what_is_no_place_is_refused_by_its_name",
    ),
    line(
        "position; a history row if moved ≥ 50 m; history bounded per device (setting, default "
        "100) and pruned by age (7 days); push `device_location`",
        "test_location::test_a_history_row_needs_fifty_metres",
        "test_location::test_the_history_is_bounded",
        "test_location::test_the_default_bound_is_kept_for_each_tablet",
        "test_bounds::test_the_bounds_are_those_of_the_contract",
        "test_bounds::test_settings_move_them_and_what_is_old_is_removed",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`tablet/{id}/metrics` up, 60 s: `cpu, memory{total,used,available} bytes, storage{…} "
        "bytes, networkType, foregroundApp, timestamp`: metrics row; push `device_metrics`",
        "test_metrics::test_metrics_are_pushed_as_they_were_sent",
        "test_metrics::test_a_device_shows_64_bit_numbers_as_text",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`tablet/{id}/event` up: `eventType BOOT|SHUTDOWN|LOCK|UNLOCK|APP_OPENED|APP_CLOSED|"
        "KIOSK_ENABLED|KIOSK_DISABLED|ERROR, message, timestamp`: action log; KIOSK_* sets "
        "`kioskMode`; push `device_event`",
        "test_action_log::test_every_event_is_logged_and_pushed",
        "test_action_log::test_kiosk_events_set_the_kiosk_mode",
        "test_endpoints::test_kiosk_mode_is_shown",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        """`tablet/{id}/command` down, QoS 1, not retained: `{"action": …, "params": {…}}`""",
        "test_commands::test_a_tablet_reads_action_and_params",
        "test_endpoints::test_a_command_reaches_the_tablet_and_ends_at_delivered",
        "test_connection::test_both_protocols_of_the_field_keep_a_session_and_a_will",
    ),
    line(
        "`LOCK_DEVICE UNLOCK_DEVICE RESTART_DEVICE OPEN_APP{packageName} SHOW_MESSAGE{title,"
        "message} PLAY_SOUND ENABLE_KIOSK DISABLE_KIOSK OPEN_CAMERA TAKE_PHOTO BLUETOOTH_ON "
        "BLUETOOTH_OFF SHUTDOWN_DEVICE DISABLE_CAMERA ENABLE_CAMERA SEND_DATA_NOW WIFI_ON "
        "WIFI_OFF`",
        "test_commands::test_the_actions_are_those_of_the_contract",
        "test_commands::test_a_tablet_reads_action_and_params",
        "test_commands::test_what_a_tablet_would_not_understand_is_400",
    ),
    line(
        "The field's tablets send no command answer: state ends at `delivered` unless an `event` "
        "or a `tablet/{id}/command_result {commandId, success, error}` (ours, optional) closes it.",
        "test_endpoints::test_a_command_reaches_the_tablet_and_ends_at_delivered",
        "test_endpoints::test_an_event_closes_the_command_it_shows",
        "test_endpoints::test_a_result_closes_a_command_once",
        "test_commands::test_a_result_is_an_answer",
    ),
]

HTTP = [
    line(
        """listener 3007 (success `{"success": true, "data": …}`, error `{"error": …}`)""",
        "test_endpoints::test_the_answers_have_the_form_of_the_contract",
        "test_endpoints::test_a_bad_login_is_refused",
    ),
    line(
        """`GET /health` → `{status:"ok",timestamp,uptime,mqtt{connected}}` (open).""",
        "test_endpoints::test_health_is_open",
    ),
    line(
        "`POST /api/auth/login {username,password}` → `{success,token,user{id,username,email,"
        "fullName,role}}`, 400/401/403",
        "test_endpoints::test_the_demonstrations_people_sign_in",
        "test_endpoints::test_a_bad_login_is_refused",
        "test_people::test_who_belongs_elsewhere_is_told_so",
    ),
    line(
        "`GET /api/auth/verify`, `/api/auth/me`.",
        "test_endpoints::test_the_demonstrations_people_sign_in",
        "test_endpoints::test_everything_else_asks_for_a_token",
    ),
    line(
        "Roles ADMIN, STAFF.",
        "test_endpoints::test_staff_may_lend_and_command_but_not_register_or_manage",
        "test_people::test_staff_changes_nobodys_password_but_their_own",
        "test_lending::test_staff_lends_and_takes_back",
    ),
    line(
        "Demo users `admin`/`123456`, `staff`/`123456`.",
        "test_endpoints::test_the_demonstrations_people_sign_in",
        "test_people::test_without_a_demonstration_nobody_knows_its_password",
    ),
    line(
        "Tokens expire; passwords are hashed with argon2.",
        "test_people::test_tokens_expire_within_a_day",
        "features/accounts/test_tokens::test_our_token_expires_after_an_hour",
        "test_people::test_passwords_are_hashed_with_argon2",
    ),
    line(
        "`/api/device`: `POST / {deviceCode,name?,serialNumber?,model?,osVersion?}` → 200, 409 "
        "duplicate",
        "test_endpoints::test_a_tablet_is_registered_once",
    ),
    line(
        "`GET /` → `{success,data[],count}`, each with `status, borrowStatus, connectionStatus, "
        "latestProblem`",
        "test_endpoints::test_the_list_has_state_and_count",
    ),
    line(
        "`GET /:id` (+ last 10 `metrics`, 20 `actionLogs`; 64-bit numbers as strings)",
        "test_endpoints::test_a_tablet_shows_metrics_log_and_big_numbers_as_text",
        "test_metrics::test_a_device_shows_64_bit_numbers_as_text",
    ),
    line(
        "`GET /:id/location-history?limit=1000&offset&hours&days&startDate&endDate` oldest first",
        "test_endpoints::test_places_are_asked_for_by_time",
        "test_location::test_the_history_is_oldest_first_whatever_came_when",
    ),
    line(
        "`GET /:id/route?days=7&minDistance=200` → `data:[[lat,lng],…]`",
        "test_location::test_the_route_leaves_out_what_is_near",
        "test_endpoints::test_places_are_asked_for_by_time",
    ),
    line(
        "`POST /:id/command {action,params}` → `{success,message,command}`, 400 (unknown action, "
        "missing param), 404, 503 «MQTT broker not available»",
        "test_endpoints::test_a_command_reaches_the_tablet_and_ends_at_delivered",
        "test_endpoints::test_a_bad_command_is_400_and_sends_nothing",
        "test_endpoints::test_without_a_broker_a_command_is_503",
    ),
    line(
        "`GET /:id/history?limit&offset` → `data{logs,checkouts}`",
        "test_endpoints::test_a_history_is_paged",
        "test_checkouts::test_a_tablet_knows_who_had_it",
    ),
    line(
        "`PATCH /maintenance-status {deviceIds[],maintenanceStatus NONE|HAS_PROBLEM|NEEDS_REPAIR|"
        "IN_MAINTENANCE|DAMAGED,problem?,solution?}`",
        "test_endpoints::test_maintenance_is_set_for_many_or_none",
        "test_checkouts::test_maintenance_decides_whether_a_tablet_can_be_lent",
    ),
    line(
        "`PUT /:id`; `DELETE /:id` (400 while checked out).",
        "test_endpoints::test_a_tablet_is_changed_and_removed",
    ),
    line(
        "`/api/checkouts` (borrowing): `GET /?status&search&limit=20&offset` → `{data,total,limit,"
        "offset}`",
        "test_endpoints::test_checkouts_are_listed_by_status_and_search",
        "test_checkouts::test_checkouts_are_found",
    ),
    line(
        "`POST / {company,borrowerId,charger,deviceIds[],startTime,endTime,usageNotes}` → number "
        "`CHK-YYYYMMDD-NNN`, 400 with `details[]` if a device is not AVAILABLE",
        "test_endpoints::test_lending_and_giving_back",
        "test_checkouts::test_numbers_count_up_within_a_day",
        "test_endpoints::test_what_is_lent_is_not_lent_again",
        "test_lending::test_of_many_who_want_one_tablet_at_once_one_gets_it",
    ),
    line(
        "`GET /:id`; `POST /:id/return {items:[{itemId,problem,solution,maintenanceStatus,"
        "returnNotes}]}` or `{itemIds[]}`",
        "test_endpoints::test_lending_and_giving_back",
        "test_checkouts::test_a_problem_at_the_return_becomes_the_tablets",
        "test_lending::test_more_than_was_lent_cannot_come_back",
    ),
    line(
        "`POST /:id/cancel {reason}`.",
        "test_checkouts::test_a_cancelled_checkout_frees_its_tablets",
        "test_lending::test_a_cancelled_checkout_takes_nothing_back",
    ),
    line(
        "Status ACTIVE, PARTIAL_RETURN, RETURNED, CANCELLED.",
        "test_checkouts::test_a_partial_return_frees_what_came_back",
        "test_lending::test_of_two_who_return_the_same_at_once_one_does",
    ),
    line(
        "`/api/user`: CRUD, `POST /:id/change-password`, `GET /audit-logs`.",
        "test_endpoints::test_users_come_and_go",
        "test_people::test_every_change_is_in_the_audit_with_who_made_it",
    ),
]

LIVE = [
    line(
        'First frame `{type:"connected",message}`; then JSON texts `{type,deviceId,deviceCode,'
        "data}` (`deviceId` our id)",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`device_status` (`battery,wifiStatus,isCharging,batteryHealth,chargingMethod,"
        "mobileDataEnabled,networkConnected,screenOn,volumeLevel,bluetoothEnabled,"
        "installedAppsCount,bootTime` string`,lastSeen,status`)",
        "test_status::test_the_push_holds_every_field_of_the_contract",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`device_location {latitude,longitude,lastSeen}`, `device_metrics`",
        "test_location::test_a_place_is_pushed_and_makes_the_tablet_online",
        "test_metrics::test_metrics_are_pushed_as_they_were_sent",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`device_event {eventType,message,timestamp}`",
        "test_action_log::test_every_event_is_logged_and_pushed",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        "`device_borrow_status {borrowStatus AVAILABLE|IN_USE|IN_MAINTENANCE,updatedAt}`.",
        "test_checkouts::test_lending_takes_the_tablets_and_tells_it",
        "test_endpoints::test_maintenance_is_set_for_many_or_none",
        "test_live::test_every_kind_of_message_is_pushed",
    ),
    line(
        """Going offline pushes `device_status` with `status:"OFFLINE"`.""",
        "test_live::test_a_dead_tablet_is_offline_with_its_last_battery",
    ),
    line(
        "Token in `?token=` or the `Authorization` header; open on loopback in development.",
        "test_live::test_a_bad_token_does_not_follow",
        "test_live::test_in_production_nobody_follows_without_a_token",
    ),
]

# What holds for every app of the house.
COMMON = [
    line(
        "Numbers may arrive as numbers or strings, times as ISO 8601 or epoch (s or ms), `0`, "
        '`false` and `""` are values, not absences.',
        "test_status::test_numbers_and_truth_values_may_come_as_text",
        "test_location::test_places_may_come_as_text",
        "test_location::test_a_time_may_be_said_in_any_form",
        "test_status::test_zero_false_and_empty_are_values",
        "test_action_log::test_an_empty_message_is_a_message",
    ),
    line(
        "Nothing is dropped silently. A message that cannot be accepted becomes a quarantine "
        "record (topic, payload, sender, reason, time)",
        "test_live::test_what_is_no_status_waits_in_quarantine",
    ),
    line(
        "an HTTP caller gets a 4xx whose body names the field at fault.",
        "test_endpoints::test_a_checkout_that_lacks_something_names_it",
        "test_commands::test_what_a_tablet_would_not_understand_is_400",
    ),
    line(
        "QoS 1/2 acknowledged means stored. PUBACK/PUBREC leaves after the commit.",
        "test_connection::test_what_was_acknowledged_survives_a_kill",
    ),
    line(
        "Unsent fields keep their last value. A partial status never wipes what an earlier one "
        "said.",
        "test_status::test_a_partial_status_wipes_nothing",
        "test_live::test_a_partial_status_wipes_nothing",
    ),
    line(
        "Online/offline follows the MQTT session, the Will and the age of the last message, is "
        "pushed to every realtime channel within seconds, and carries a reason and a since.",
        "test_live::test_a_clean_goodbye_is_offline_at_once",
        "test_live::test_a_dead_tablet_is_offline_with_its_last_battery",
        "test_presence::test_silence_is_offline_once_and_a_message_ends_it",
    ),
    line(
        "`delivered` only on the device's PUBACK. Late and duplicate answers change nothing twice.",
        "test_endpoints::test_delivered_is_what_the_tablet_acknowledged",
        "test_endpoints::test_a_result_closes_a_command_once",
    ),
    line(
        "Every HTTP route and realtime channel checks who asks, unless the contract marks it open. "
        "A listener bound to loopback may run open for development (`mosquitto_pub` without a "
        "password works on the first try); bound to any other address it demands credentials.",
        "test_endpoints::test_everything_else_asks_for_a_token",
        "test_live::test_in_production_nobody_follows_without_a_token",
        "test_connection::test_a_client_without_credentials_stays_out_where_they_are_demanded",
        "test_first_test::test_the_first_test_of_every_user",
    ),
    line(
        "Demo credentials written in a contract exist only when demo data is asked for, never "
        "otherwise.",
        "test_people::test_without_a_demonstration_nobody_knows_its_password",
    ),
]

CONTRACT = [*SETTINGS, *CONNECTION, *TOPICS, *HTTP, *LIVE, *COMMON]


@pytest.mark.parametrize("said", CONTRACT, ids=lambda said: said.words[:60])
def test_every_line_has_tests_and_one_of_them_quotes_it(said: Line) -> None:
    assert fault_of(said, FOLDER) is None


def test_what_the_tests_quote_stands_in_the_contract() -> None:
    assert unknown_quotes(CONTRACT, FOLDER) == []


@pytest.mark.parametrize("said", CONTRACT, ids=lambda said: said.words[:60])
def test_what_a_line_names_is_in_the_code_of_its_tests(said: Line) -> None:
    """Calls, fields, states, events and status codes."""
    assert set(unsaid_names(said, FOLDER, HELPERS)) <= NO_NAMES


def test_no_line_of_the_contract_is_missing() -> None:
    words = "".join(re.sub(r"[\s*]+", "", said.words) for said in CONTRACT)
    assert sha256(words.encode()).hexdigest() == DIGEST
