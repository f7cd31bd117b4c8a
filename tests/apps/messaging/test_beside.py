"""Messaging among other apps: vending on its port, and devices whose topics are not everybody's."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert

from fleetwire.apps import vending
from fleetwire.apps.messaging import configure
from fleetwire.features.organizations.tables import organizations
from fleetwire.kit import App, Caller
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from tests.apps.messaging.serving import NAMESPACE, Served, nothing_more, serving
from tests.web.realtime.socket_client import entered

LAMPS = [{"template": "lamps/#", "read": "everyone", "write": "everyone"}]
OURS, THEIRS = 1, 2


@pytest.mark.slow
async def test_vending_and_messaging_share_their_port(tmp_path: Path, free_port: int) -> None:
    """«Socket.IO, listener 3001, namespace `/mqtt`»."""
    apps = [vending.configure({}), configure({})]
    assert {app.listener.port for app in apps if app.listener} == {3001}
    (tmp_path / "data").mkdir()
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    ports = {"vending": free_port, "messaging": free_port}
    overrides |= {"data_dir": tmp_path / "data", "bind": "127.0.0.1", "app_ports": ports}
    house = House(load(overrides, {}, tmp_path), apps=apps)
    try:
        await house.start()
        assert house.administrator is not None
        name, password = house.administrator
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as http:
            assert (await http.get("/mqtt/health")).json()["service"] == "mqtt"
            assert (await http.get("/api/products")).status_code == 200
            assert (await http.get("/health")).status_code == 200
            assert "/mqtt/publish" in (await http.get("/messaging/openapi.json")).json()["paths"]
            assert "/api/products" in (await http.get("/openapi.json")).json()["paths"]
            said = {"username": name, "password": password}
            login = (await http.post("/api/v1/auth/login", json=said)).json()
        auth = {"token": login["access_token"]}
        async with entered(free_port, NAMESPACE, auth) as person, entered(free_port) as kiosk:
            assert (await person.ask("mqtt:subscribe", {"topic": "chat/a"}))["topic"] == "chat/a"
            assert (await kiosk.ask("join", "order:none"))["status"] == 404
    finally:
        await house.stop()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A house with lamps, one ours and one theirs."""
    lamps = App("lamps", publishes=["lamps/{device_id}/on"], subscribes=["lamps/{device_id}/set"])
    app = configure({"MESSAGING_TOPICS": json.dumps(LAMPS), "MESSAGING_HISTORY": ""})
    async with serving(tmp_path, app, lamps) as served:
        theirs = {"id": THEIRS, "name": "Theirs", "created_at": 1}
        await served.house.database.write(
            lambda tx: tx.execute(insert(organizations).values(theirs))
        )
        for device_id, organization_id in (("a", OURS), ("b", THEIRS)):
            caller = Caller.system(organization_id)
            await served.house.devices.register(caller, "lamps", device_id, "lamp")
        yield served


async def test_history_is_not_of_devices(tmp_path: Path) -> None:
    lamps = App("lamps", publishes=["lamps/{device_id}/on"])
    settings = {"MESSAGING_TOPICS": json.dumps(LAMPS), "MESSAGING_HISTORY": "lamps/#"}
    async with serving(tmp_path, configure(settings), lamps) as served:
        await served.house.devices.register(Caller.system(OURS), "lamps", "a", "lamp")
        async with served.socket("7") as client, served.mqtt("lamp") as lamp:
            await client.ask("mqtt:subscribe", {"topic": "lamps/#", "qos": 1})
            for topic in ("lamps/a/on", "lamps/hall"):
                await lamp.publish(topic, b"1", qos=1)
                assert (await client.next("mqtt:message"))["topic"] == topic
            assert await nothing_more(client) == []
        # A device's messages are stored by its own app, and told as they pass.
        found = await served.http("7").get("/mqtt/history", params={"topic": "lamps/#"})
        assert [each["topic"] for each in found.json()["messages"]] == ["lamps/hall"]


async def test_another_organisations_devices_are_nobodys_here(served: Served) -> None:
    for device_id in "ab":
        served.house.server.publish(f"lamps/{device_id}/on", b"1", qos=1, retain=True)
    async with served.socket("7") as client:
        await client.ask("mqtt:subscribe", {"topic": "lamps/#", "qos": 1})
        assert (await client.next("mqtt:message"))["topic"] == "lamps/a/on"
        for device_id in "ba":
            served.house.server.publish(f"lamps/{device_id}/on", b"2", qos=1)
        assert (await client.next("mqtt:message"))["topic"] == "lamps/a/on"
        assert await nothing_more(client) == []
        for device_id, is_ours in (("a", True), ("b", False), ("nobody", True)):
            said = {"topic": f"lamps/{device_id}/set", "payload": 1}
            answer = await client.ask("mqtt:publish", said)
            assert ("error" not in answer) is is_ours


@pytest.mark.slow
async def test_a_slow_reader_is_ended_before_a_message_of_qos_1_is_lost(served: Served) -> None:
    async with served.socket("8") as slow, served.socket("9") as quick:
        for client in (slow, quick):
            await client.ask("mqtt:subscribe", {"topic": "lamps/a/on", "qos": 1})
        await slow.stop_reading()
        for number in range(200):
            payload = json.dumps([number, "x" * 100_000]).encode()
            served.house.server.publish("lamps/a/on", payload, qos=1)
            assert (await quick.next("mqtt:message"))["payload"][0] == number
        found = (await served.http("8").get("/mqtt/subscriptions")).json()
        assert found["total"] == 0 or not found["subscriptions"][0]["isActive"]


async def test_a_slow_reader_of_qos_0_sees_the_newest(served: Served) -> None:
    async with served.socket("10") as client:
        await client.ask("mqtt:subscribe", {"topic": "lamps/a/on", "qos": 0})
        for number in range(3_000):  # at once: nothing of it is taken meanwhile
            served.house.server.publish("lamps/a/on", str(number).encode())
        lagged = await client.next("lagged")
        told = []
        while not told or told[-1] != 2_999:
            told.append((await client.next("mqtt:message"))["payload"])
        assert len(told) + lagged["missed"] == 3_000
        assert told == sorted(told)
