"""One handler for every protocol: the same message, row, event, answer and refusal."""

from typing import Any

from sqlalchemy import select

from fleetwire.apps.farm.streams import STREAM_EVENT
from fleetwire.apps.farm.tables import data_streams
from fleetwire.kit import Devices, Store, Telemetry
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn

AT = "2026-01-31T12:00:00.000Z"


async def stored(hub: TestHub) -> list[Any]:
    return list(
        await hub.service(Store).read(
            lambda c: c.execute(select(data_streams).order_by(data_streams.c.id)).all()
        )
    )


async def test_a_value_by_mqtt_is_a_row_an_event_and_a_reading(hub: TestHub, barn: Barn) -> None:
    """«`value` (string, number, bool), `telemetryDataId` and/or `variableName`»"""
    sensor = await barn.sensor("temperature", "humidity")
    device = await barn.connected("s-1")
    outcome = await device.send(
        "devices/{device_id}/datastream",
        {"value": 23.5, "variableName": "temperature", "recievedAt": AT},
    )
    assert outcome.is_stored
    [row] = await stored(hub)
    assert (row.value, row.telemetry_data_id) == (23.5, sensor["temperature"])
    event = await hub.event(STREAM_EVENT)
    shown = {"id": row.id, "value": 23.5, "telemetryDataId": row.telemetry_data_id}
    assert event.body["dataStreams"] == [{**shown, "recievedAt": AT}]
    assert [outcome.value] == event.body["dataStreams"]
    record = await hub.service(Devices).get(hub.caller, "farm", "s-1")
    [reading] = await hub.service(Telemetry).latest(hub.caller, record)
    assert (reading.metric, reading.value) == ("temperature", 23.5)


async def test_zero_false_and_empty_text_are_values(hub: TestHub, barn: Barn) -> None:
    """«`0` and `false` are values»"""
    await barn.sensor("power")
    device = await barn.connected("s-1")
    values = [0, False, "", "on", -1.5, True]
    for value in values:
        assert (await device.send("devices/{device_id}/datastream", {"value": value})).is_stored
    found = [row.value for row in await stored(hub)]
    assert [(type(each), each) for each in found] == [(type(each), each) for each in values]


async def test_a_bare_value_is_for_a_sensor_with_one_variable(hub: TestHub, barn: Barn) -> None:
    """«a bare number or text = `{value}` for a sensor with one variable»"""
    sensor = await barn.sensor("soil")
    device = await barn.connected("s-1")
    for payload in (b"23.5", b"wet", b'"wet"', b"true"):
        assert (await device.send("devices/{device_id}/datastream", payload)).is_stored
    found = await stored(hub)
    assert [row.value for row in found] == [23.5, "wet", "wet", True]
    assert {row.telemetry_data_id for row in found} == {sensor["soil"]}


async def test_a_bare_value_for_several_variables_is_refused(barn: Barn) -> None:
    await barn.sensor("temperature", "humidity")
    device = await barn.connected("s-1")
    outcome = await device.send("devices/{device_id}/datastream", b"23.5")
    assert not outcome.is_stored
    assert outcome.field == "telemetryDataId"


async def test_a_batch_is_stored_whole_or_not_at_all(hub: TestHub, barn: Barn) -> None:
    """«many: `{"dataStreams":[{…}], "token"}` (1..1000)»"""
    sensor = await barn.sensor("temperature", "humidity")
    device = await barn.connected("s-1")
    good = [{"value": each, "telemetryDataId": sensor["temperature"]} for each in range(1000)]
    topic = "devices/{device_id}/datastream"
    outcome = await device.send(topic, {"dataStreams": [*good[:3], {"variableName": "humidity"}]})
    assert (outcome.is_stored, outcome.field) == (False, "dataStreams.3.value")
    assert await stored(hub) == []
    assert (await device.send(topic, {"dataStreams": good})).is_stored
    assert [row.value for row in await stored(hub)] == list(range(1000))
    too_many = await device.send(topic, {"dataStreams": [*good, {"value": 1}]})
    assert (too_many.is_stored, too_many.field) == (False, "dataStreams")
    none = await device.send(topic, {"dataStreams": []})
    assert (none.is_stored, none.field) == (False, "dataStreams")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "value"),
    ({"value": None}, "value"),
    ({"value": {"a": 1}}, "value"),
    ({"value": [1]}, "value"),
    ({"value": 1, "variableName": "nope"}, "variableName"),
    ({"value": 1, "telemetryDataId": 999}, "telemetryDataId"),
    ({"value": 1, "telemetryDataId": -1}, "telemetryDataId"),
    ({"value": 1, "telemetryDataId": True}, "telemetryDataId"),
    ({"value": 1, "recievedAt": "yesterday"}, "recievedAt"),
    ({"value": 1, "urgent": "perhaps"}, "urgent"),
    ({"value": 1, "thresholds": {"min": "low"}}, "thresholds.min"),
    ({"value": "x" * 5000}, "value"),
]


async def test_what_is_wrong_is_named_in_every_protocol(hub: TestHub, barn: Barn) -> None:
    sensor = await barn.sensor("temperature")
    device = await barn.connected("s-1")
    token = await barn.token(sensorId=sensor["id"])
    for body, field in WRONG:
        by_mqtt = await device.send("devices/{device_id}/datastream", body)
        assert (by_mqtt.is_stored, by_mqtt.field) == (False, field)
        by_http = await barn.ask("POST", "/datastreams/token", body, token=token)
        assert by_http.status_code == 400
        assert by_http.json() == {
            "status": "fail",
            "statusCode": 400,
            "message": by_mqtt.reason,
            "field": field,
        }
    assert await stored(hub) == []


async def test_the_same_value_by_mqtt_and_http_is_the_same_row_event_and_answer(
    hub: TestHub, barn: Barn
) -> None:
    sensor = await barn.sensor("temperature")
    device = await barn.connected("s-1")
    token = await barn.token(sensorId=sensor["id"])
    body = {"value": 21.5, "telemetryDataId": sensor["temperature"], "recievedAt": AT}
    await device.send("devices/{device_id}/datastream", body)
    [first] = await stored(hub)
    by_mqtt = (await hub.event(STREAM_EVENT)).body
    answer = await barn.ask("POST", "/datastreams/token", body, token=token)
    assert answer.status_code == 201
    assert await stored(hub) == [first]
    shown = {"id": first.id, "value": 21.5, "telemetryDataId": sensor["temperature"]}
    assert answer.json() == {"status": "success", "data": {**shown, "recievedAt": AT}}
    assert (await hub.event(STREAM_EVENT, 2)).body == by_mqtt
    as_person = await barn.good("POST", "/datastreams", body)
    assert as_person == answer.json()["data"]
    assert await stored(hub) == [first]


async def test_a_batch_by_http_takes_the_device_token(hub: TestHub, barn: Barn) -> None:
    """«`POST /token`, `POST /batch` with the **device token** as Bearer»"""
    sensor = await barn.sensor("temperature")
    token = await barn.token(sensorId=sensor["id"])
    body = {"dataStreams": [{"value": 1}, {"value": 2}]}
    for path in ("/datastreams/batch", "/data-streams/batch"):
        answer = await barn.ask("POST", path, body, token=token)
        assert answer.status_code == 201, answer.text
        assert [each["value"] for each in answer.json()["data"]["dataStreams"]] == [1, 2]
    for wrong in ("", "0" * 64, await hub.token()):
        answer = await barn.ask("POST", "/datastreams/batch", body, token=wrong)
        assert answer.status_code == 401
    assert len(await stored(hub)) == 4


async def test_a_value_by_http_is_echoed_once_and_not_taken_in_again(
    hub: TestHub, barn: Barn
) -> None:
    """«goes to `devices/{uuid}/datastream` QoS 1 with `type:"data_stream"` and is not ingested again»"""  # noqa: E501 a quotation
    sensor = await barn.sensor("temperature")
    device = await barn.connected("s-1")
    token = await barn.token(sensorId=sensor["id"])
    await barn.ask("POST", "/datastreams/token", {"value": 5}, token=token)
    echo = await device.next_message()
    assert echo.topic == "devices/s-1/datastream"
    assert (echo.json()["type"], echo.json()["value"]) == ("data_stream", 5)
    await hub.settle()
    assert len(await stored(hub)) == 1


async def test_other_prefixes_are_answered_and_another_organization_s_is_not(
    hub: TestHub, barn: Barn
) -> None:
    """«Also answered: the singular prefix `device/{uuid}/…` and `orgs/{org}/devices/{uuid}/…`»"""
    sensor = await barn.sensor("temperature")
    device = await barn.connected("s-1")
    farm = sensor["organizationId"]
    assert (await device.send("device/{device_id}/datastream", b"1")).is_stored
    assert (await device.send(f"orgs/{farm}/devices/s-1/datastream", b"2")).is_stored
    assert not (await device.send("orgs/4711/devices/s-1/datastream", b"3")).is_stored
    assert [row.value for row in await stored(hub)] == [1, 2]


async def test_urgent_and_out_of_bounds_raise_alarms(hub: TestHub, barn: Barn) -> None:
    """«alarm if `urgent` or outside thresholds»"""
    await barn.sensor("temperature")
    device = await barn.connected("s-1")
    topic = "devices/{device_id}/datastream"
    await device.send(topic, {"value": 5, "thresholds": {"min": 0, "max": "10"}})
    assert (await hub.event(STREAM_EVENT)).body["priority"] == "normal"
    await device.send(topic, {"value": 11, "thresholds": {"min": 0, "max": "10"}})
    assert (await hub.event(STREAM_EVENT, 2)).body["priority"] == "high"
    assert (await hub.event("alarm.raised")).body["name"] == "outside_thresholds"
    await device.send(topic, {"value": 1, "urgent": True})
    assert (await hub.event("alarm.raised", 2)).body["name"] == "urgent_value"


async def test_a_device_owns_no_variables(barn: Barn) -> None:
    await barn.device("pump-1")
    device = await barn.connected("pump-1")
    outcome = await device.send("devices/{device_id}/datastream", b"1")
    assert not outcome.is_stored
    assert "sensor" in outcome.reason


async def test_values_at_the_edge_are_kept_as_they_were_sent(hub: TestHub, barn: Barn) -> None:
    await barn.sensor("level")
    device = await barn.connected("s-1")
    values: list[Any] = [2**53 + 1, -(2**63), 1e300, -0.0, "x" * 4096, "\U0001f33e", "nan", "1e999"]
    for value in values:
        assert (await device.send("devices/s-1/datastream", {"value": value})).is_stored, value
    assert [row.value for row in await stored(hub)] == values
    for payload in (
        b'{"value":1' + b"0" * 400 + b"}",
        b'{"value":NaN}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"",
        b'{"value":1,"recievedAt":1e400}',
        b'{"value":"\\ud800","variableName":"\\u0000"}',
        b'{"dataStreams":{"value":1}}',
        b'{"dataStreams":[1]}',
    ):
        assert not (await device.send("devices/s-1/datastream", payload)).is_stored, payload[:40]
    http = await barn.ask("POST", "/datastreams/token", {"value": 10**400})
    assert http.status_code == 401
    token = await barn.token(sensorId=1)
    for value, status in ((10**400, 400), (10**20, 201)):
        answer = await barn.ask("POST", "/datastreams/token", {"value": value}, token=token)
        assert answer.status_code == status, answer.text
