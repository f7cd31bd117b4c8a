"""TestHub: what an app's tests stand on."""

from fleetwire.kit import Commands, Devices
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee


async def test_a_message_is_stored_and_told() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        outcome = await machine.send("coffee/{device_id}/brewed", {"cups": 2})
        assert outcome.is_stored
        event = await hub.event("coffee.brewed")
        assert (event.body["cups"], event.topic) == (2, "coffee/m1/brewed")
        stored = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        assert (stored.status, stored.reported) == ("ready", {"cups": 2})


async def test_a_command_comes_down_and_its_answer_closes_it() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        commands = hub.service(Commands)
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        sent = await commands.send(hub.caller, record, "brew", {"cups": 1})
        received = await machine.next_message()
        assert received.json() == {"command": "brew", "cups": 1, "command_id": sent.id}
        await machine.answer(sent.id, state="succeeded", result=7)
        closed = await commands.wait(sent.id, 5)
        assert (closed.state, closed.result) == ("succeeded", 7)


async def test_a_device_that_goes_away_is_told_with_its_reason() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        await hub.event("device.connected")
        machine.disconnect("keep_alive")
        assert (await hub.event("device.disconnected")).body["reason"] == "keep_alive"


async def test_time_that_is_advanced_expires_commands() -> None:
    async with TestHub(coffee()) as hub:
        await hub.device("m1", is_connected=False)
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        sent = await hub.service(Commands).send(hub.caller, record, "brew", {}, expires_in_s=60)
        await hub.advance(59)
        assert (await hub.service(Commands).get(hub.caller, sent.id)).state == "queued"
        await hub.advance(2)
        assert (await hub.service(Commands).get(hub.caller, sent.id)).state == "expired"


async def test_an_apps_routes_are_asked_without_a_socket() -> None:
    async with TestHub(coffee()) as hub:
        assert (await hub.http().get("/hello")).json() == {"hello": "coffee"}
        devices = await hub.http("platform").get("/api/v1/devices")
        assert devices.status_code == 200
        nobody = await hub.http("platform", token="").get("/api/v1/devices")
        assert nobody.status_code == 401
