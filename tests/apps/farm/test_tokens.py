"""Device tokens: made, shown once, proof for a message, revoked at once."""

import json

from sqlalchemy import text

from fleetwire.kit import Store
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn
from tests.apps.farm.test_streams import stored

TOPIC = "devices/s-1/datastream"


async def test_a_token_is_shown_once_and_known_by_all_three_names(hub: TestHub, barn: Barn) -> None:
    """«**200** `data{id,token (64 hex, shown once),sensorId,deviceUuid,expiresAt,createdAt}`»"""
    sensor = await barn.sensor()
    answer = await barn.ask("POST", "/device-tokens", {"sensorId": sensor["id"]})
    assert answer.status_code == 200
    made = answer.json()["data"]
    assert len(bytes.fromhex(made["token"])) == 32
    assert (made["sensorId"], made["deviceUuid"]) == (sensor["id"], "s-1")
    assert made["expiresAt"] is None
    for prefix in ("/device-tokens", "/devicetokens", "/devicetoken"):
        shown = await barn.good("GET", f"{prefix}/{made['id']}")
        assert "token" not in shown
        assert shown["isActive"] is True
        found = await barn.good("GET", f"{prefix}/verify", token=made["token"])
        assert found == {"valid": True, "deviceUuid": "s-1", "sensorId": sensor["id"]}


async def test_wrong_requests_for_a_token_are_refused(barn: Barn) -> None:
    sensor = await barn.sensor()
    device = await barn.device()
    for body, field in (
        ({}, "sensorId"),
        ({"sensorId": sensor["id"], "deviceId": device["id"]}, "sensorId"),
        ({"sensorId": sensor["id"], "expiresAt": "2001-01-01T00:00:00Z"}, "expiresAt"),
        ({"sensorId": sensor["id"], "expiresAt": "soon"}, "expiresAt"),
    ):
        answer = await barn.ask("POST", "/device-tokens", body)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    unknown = await barn.ask("POST", "/device-tokens", {"sensorId": 4711})
    assert (unknown.status_code, unknown.json()["field"]) == (404, "sensorId")


async def test_a_revoked_token_opens_nothing(barn: Barn) -> None:
    """«`GET|PATCH (revoke)|DELETE /:id`»"""
    sensor = await barn.sensor("temperature")
    token = await barn.token(sensorId=sensor["id"])
    [listed] = (await barn.good("GET", "/device-tokens"))["tokens"]
    body = {"value": 1}
    assert (await barn.ask("POST", "/datastreams/token", body, token=token)).status_code == 201
    revoked = await barn.good("PATCH", f"/device-tokens/{listed['id']}")
    assert revoked["isActive"] is False
    assert revoked["revokedAt"] is not None
    assert (await barn.ask("POST", "/datastreams/token", body, token=token)).status_code == 401
    answer = await barn.ask("DELETE", f"/device-tokens/{listed['id']}")
    assert answer.status_code == 204
    assert (await barn.ask("GET", f"/device-tokens/{listed['id']}")).status_code == 404


async def test_a_gateway_publishes_for_another_by_its_token(hub: TestHub, barn: Barn) -> None:
    """«is accepted as proof for that message too (a gateway publishing for others)»"""
    sensor = await barn.sensor("temperature")
    await barn.sensor(uuid="gateway")
    gateway = await barn.connected("gateway")
    token = await barn.token(sensorId=sensor["id"])
    without = await gateway.send(TOPIC, {"value": 1})
    assert (without.is_stored, without.reason_code) == (False, 0x87)
    for name in ("token", "accessToken"):
        assert (await gateway.send(TOPIC, {"value": 2, name: token})).is_stored
    many = {"dataStreams": [{"value": 3}, {"value": 4}], "token": token}
    assert (await gateway.send(TOPIC, many)).is_stored
    assert [row.value for row in await stored(hub)] == [2, 2, 3, 4]


async def test_a_wrong_token_refuses_the_message_whoever_sends_it(hub: TestHub, barn: Barn) -> None:
    sensor = await barn.sensor("temperature")
    await barn.sensor("temperature", uuid="s-2")
    own = await barn.connected("s-1")
    other = await barn.connected("s-2")
    token = await barn.token(sensorId=sensor["id"])
    for device, topic, said in (
        (own, TOPIC, "0" * 64),
        (own, TOPIC, 17),
        (other, "devices/s-2/datastream", token),  # of another sensor
    ):
        outcome = await device.send(topic, {"value": 1, "token": said})
        assert (outcome.is_stored, outcome.reason_code) == (False, 0x87)
    assert await stored(hub) == []


async def test_a_token_is_neither_stored_nor_shown_again(hub: TestHub, barn: Barn) -> None:
    """«is never stored, logged or echoed»"""
    sensor = await barn.sensor("temperature")
    device = await barn.connected("s-1")
    token = await barn.token(sensorId=sensor["id"])
    escaped = json.dumps({"value": 2, "token": token}).replace('"token"', '"\\u0074oken"')
    await device.send(TOPIC, {"value": 1, "token": token})
    await device.send(TOPIC, escaped.encode())
    await device.send(TOPIC, {"value": {}, "token": token})
    await device.send(TOPIC, {"dataStreams": [{"value": 3, "token": token}]})
    await barn.ask("POST", "/datastreams/token", {"value": 4, "token": token})
    assert [row.value for row in await stored(hub)] == [1, 2, 3, 4]

    def everything(connection: object) -> str:
        execute = connection.execute  # type: ignore[attr-defined]  # any connection will do
        names = execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars()
        return "".join(str(execute(text(f'SELECT * FROM "{name}"')).all()) for name in list(names))

    assert token not in await hub.service(Store).read(everything)


async def test_a_device_may_send_an_idempotency_key(hub: TestHub, barn: Barn) -> None:
    sensor = await barn.sensor("temperature")
    token = await barn.token(sensorId=sensor["id"])
    keyed = {"Idempotency-Key": "once"}
    for _ in range(2):
        answer = await barn.ask(
            "POST", "/datastreams/token", {"value": 1}, token=token, headers=keyed
        )
        assert answer.status_code == 201, answer.text
