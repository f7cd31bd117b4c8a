"""A real server and tablets as the field has them: Paho, MQTT 3.1.1, cleanSession=false, a Will."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from websockets.exceptions import ConnectionClosed

from fleetwire.kit.instants import parse
from tests.apps.tablets.house import WAIT_S, watching
from tests.apps.tablets.tablet import STATUS, Tablet, registered, shown
from tests.house import House
from tests.interop.paho_client import PahoClient

pytestmark = pytest.mark.slow

SECONDS = 5.0  # what «within seconds» may mean


def send(api: Any, code: str, action: str) -> str:
    answer = api.post(f"/api/device/{code}/command", json={"action": action})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["command"]["id"])


async def state_becomes(api: Any, code: str, command_id: str, state: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            lines = {each["commandId"]: each for each in shown(api, code)["actionLogs"]}
            if lines[command_id]["state"] == state:
                return
            await asyncio.sleep(0.02)


async def test_a_dead_tablet_is_offline_with_its_last_battery(house: House, api: Any) -> None:
    """«means **OFFLINE**, and must not store battery 0» · «Going offline pushes `device_status`»

    «pushed to every realtime channel within seconds, and carries a reason and a since»
    """
    tablet = Tablet(house, "dying")
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", STATUS)
        frame = await next_of("device_status", "dying")
        assert (frame["data"]["status"], frame["data"]["battery"]) == ("ONLINE", 73)
        tablet.die()
        async with asyncio.timeout(SECONDS):
            frame = await next_of("device_status", "dying")
            device = await asyncio.to_thread(shown, api, "dying")
    assert frame["deviceCode"] == "dying"
    data = frame["data"]
    assert (data["status"], data["battery"], data["wifiStatus"]) == ("OFFLINE", 73, True)
    assert data["reason"] == "will"
    assert parse(data["since"]) > parse(data["lastSeen"])
    assert (device["status"], device["battery"], device["wifiStatus"]) == ("OFFLINE", 73, True)
    assert (device["bootTime"], device["uptime"]) == ("1769853600000", "7200000")
    assert (device["statusReason"], device["statusSince"]) == ("will", data["since"])


async def test_a_tablet_that_falls_silent_without_a_word_is_offline_within_seconds(
    house: House, api: Any
) -> None:
    """«keep-alive 60»: half of it again after the last packet, the server takes it for lost."""
    tablet = Tablet(house, "unplugged", keep_alive_s=1)
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", STATUS)
        assert (await next_of("device_status", "unplugged"))["data"]["status"] == "ONLINE"
        tablet.freeze()
        async with asyncio.timeout(SECONDS):
            data = (await next_of("device_status", "unplugged"))["data"]
    assert (data["status"], data["battery"]) == ("OFFLINE", 73)
    assert shown(api, "unplugged")["battery"] == 73


async def test_a_partial_status_wipes_nothing(house: House, api: Any) -> None:
    """«Unsent fields keep their last value. A partial status never wipes what …»"""
    tablet = Tablet(house, "partial")
    whole = STATUS | {
        "isCharging": True,
        "batteryHealth": "GOOD",
        "chargingMethod": "USB",
        "mobileDataEnabled": False,
        "networkConnected": True,
        "screenOn": True,
        "volumeLevel": 0,
        "bluetoothEnabled": False,
        "installedAppsCount": 93,
    }
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", whole)
        before = (await next_of("device_status", "partial"))["data"]
        said = {name: whole[name] for name in whole if name not in ("uptime", "bootTime")}
        assert before | said == before
        shown_before = shown(api, "partial")
        await asyncio.to_thread(tablet.say, "status", {"battery": 72, "wifiStatus": False})
        after = (await next_of("device_status", "partial"))["data"]
    same = {"battery": 72, "wifiStatus": False, "lastSeen": after["lastSeen"]}
    assert after == before | same
    times = ("lastSeen", "updatedAt")
    now = shown(api, "partial")
    assert now == shown_before | same | {name: now[name] for name in times}
    await asyncio.to_thread(tablet.sleep)


async def test_a_clean_goodbye_is_offline_at_once(house: House, api: Any) -> None:
    """«Online/offline follows the MQTT session», also of a tablet that has no password."""
    tablet = Tablet(house, "polite")  # nobody registered it: its first message does
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", STATUS)
        assert (await next_of("device_status", "polite"))["data"]["status"] == "ONLINE"
        for _ in range(2):
            await asyncio.to_thread(tablet.sleep)
            async with asyncio.timeout(SECONDS):
                data = (await next_of("device_status", "polite"))["data"]
            assert (data["status"], data["battery"]) == ("OFFLINE", 73)
            assert data["reason"] == "disconnect"
            assert shown(api, "polite")["status"] == "OFFLINE"
            await asyncio.to_thread(tablet.wake)
            assert (await next_of("device_status", "polite"))["data"]["status"] == "ONLINE"
    await asyncio.to_thread(tablet.sleep)


async def test_a_tablet_with_credentials_is_offline_when_its_session_ends(
    house: House, api: Any
) -> None:
    tablet = Tablet(house, "leaving", registered(api, "leaving"))
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", {"battery": 20, "wifiStatus": True})
        while (frame := await next_of("device_status", "leaving"))["data"]["battery"] != 20:
            pass
        assert frame["data"]["status"] == "ONLINE"
        await asyncio.to_thread(tablet.sleep)
        frame = await next_of("device_status", "leaving")
    assert (frame["data"]["status"], frame["data"]["battery"]) == ("OFFLINE", 20)
    assert shown(api, "leaving")["status"] == "OFFLINE"


async def test_every_kind_of_message_is_pushed(house: House, api: Any) -> None:
    """«JSON texts `{type,deviceId,deviceCode,data}`»"""
    tablet = Tablet(house, "talking")
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        for topic, body, type in (
            ("status", STATUS, "device_status"),
            ("location", {"latitude": -6.2, "longitude": 106.8}, "device_location"),
            ("metrics", {"cpu": 12}, "device_metrics"),
            ("event", {"eventType": "BOOT", "message": "up"}, "device_event"),
        ):
            await asyncio.to_thread(tablet.say, topic, body)
            frame = await next_of(type, "talking")
            assert set(frame) == {"type", "deviceId", "deviceCode", "data"}
            assert frame["deviceCode"] == "talking"
        mending = {"deviceIds": ["talking"], "maintenanceStatus": "DAMAGED"}
        path = "/api/device/maintenance-status"
        await asyncio.to_thread(api.patch, path, json=mending)
        frame = await next_of("device_borrow_status", "talking")
        assert frame["data"]["borrowStatus"] == "IN_MAINTENANCE"
    await asyncio.to_thread(tablet.sleep)


@pytest.mark.parametrize("with_credentials", [False, True])
async def test_a_command_to_a_sleeping_tablet_arrives_once_when_it_wakes(
    house: House, api: Any, with_credentials: bool
) -> None:
    """«Commands sent while it sleeps wait for it.»"""
    code = f"sleeping-{with_credentials}"
    tablet = Tablet(house, code, registered(api, code) if with_credentials else None)
    await asyncio.to_thread(tablet.wake)
    await asyncio.to_thread(tablet.say, "status", STATUS)
    await asyncio.to_thread(tablet.sleep)
    command = send(api, code, "LOCK_DEVICE")
    lines = shown(api, code)["actionLogs"]
    assert [(each["action"], each["state"]) for each in lines] == [("LOCK_DEVICE", "queued")]

    await asyncio.to_thread(tablet.wake)
    told = await asyncio.to_thread(tablet.command)
    assert told == {"action": "LOCK_DEVICE", "params": {}, "commandId": command}
    await state_becomes(api, code, command, "delivered")
    await asyncio.to_thread(tablet.sleep)
    await asyncio.to_thread(tablet.wake)
    # What comes after it comes first now: the first one is not told again.
    second = send(api, code, "WIFI_ON")
    assert (await asyncio.to_thread(tablet.command))["commandId"] == second
    await asyncio.to_thread(tablet.sleep)


async def test_a_tablet_can_neither_command_nor_speak_for_another(house: House, api: Any) -> None:
    """A tablet that sends itself commands, or speaks as another: refused, audited, nothing changed.

    The one that is told so listens to its commands, as every tablet does.
    """
    victim = Tablet(house, "victim", registered(api, "victim"))
    await asyncio.to_thread(victim.wake)
    await asyncio.to_thread(victim.say, "status", STATUS)
    forger = Tablet(house, "forger", registered(api, "forger"))
    await asyncio.to_thread(forger.wake)
    await asyncio.to_thread(forger.say, "status", {"battery": 44, "wifiStatus": True})
    before = stored(house)
    lock = {"action": "LOCK_DEVICE", "params": {}}
    for topic, body in (
        ("tablet/forger/command", lock),
        ("tablet/victim/command", lock),
        ("tablet/victim/status", {"battery": 1, "wifiStatus": False}),
        ("tablet/victim/event", {"eventType": "KIOSK_ENABLED"}),
        ("tablet/victim/command_result", {"commandId": "x", "success": True}),
    ):
        forger.try_to_publish(topic, body)
        await refused(house, topic)
        await audited(house, topic)
    assert await asyncio.to_thread(victim.hears_nothing)
    assert await asyncio.to_thread(forger.hears_nothing)
    assert stored(house) == before
    assert shown(api, "victim")["battery"] == 73
    assert shown(api, "forger")["actionLogs"] == []
    await asyncio.to_thread(victim.sleep)
    await asyncio.to_thread(forger.sleep)


def stored(house: House) -> dict[str, Any]:
    """Return all that is known of the two tablets, and every command, log line and reading."""
    mine = "WHERE code IN ('victim', 'forger')"
    return {"tablets": house.select(f"SELECT * FROM tablets {mine} ORDER BY id")} | {
        table: house.select(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        for table in ("commands", "tablet_actions", "tablet_audit", "readings")
    }


async def audited(house: House, topic: str) -> None:
    """Return once the audit has one row of who tried what."""
    path = "/api/v1/audit?action=mqtt.refused&outcome=refused&limit=50"
    async with asyncio.timeout(WAIT_S):
        while True:
            items = house.http(house.url).get(path).json()["items"]
            found = [each for each in items if topic in json.dumps(each["detail"])]
            if found:
                assert [(each["actor"], each["subject"]) for each in found] == [
                    ("device:tablets/forger", "client:ontrak_tablet_forger")
                ]
                return
            await asyncio.sleep(0.05)


async def refused(house: House, topic: str) -> None:
    """Return once it is on record that this topic was refused, and to whom."""
    async with asyncio.timeout(WAIT_S):
        while True:
            items = house.http(house.url).get("/api/v1/quarantine?limit=50").json()["items"]
            found = [each for each in items if each["topic"] == topic]
            if found:
                [kept] = found
                assert kept["identity"] == "device:tablets/forger"
                assert kept["reason"] == "device:tablets/forger may not publish to this topic"
                return
            await asyncio.sleep(0.05)


async def test_another_tablets_commands_cannot_be_read(house: House, api: Any) -> None:
    client = PahoClient(MQTTProtocolVersion.MQTTv311, "ontrak_tablet_curious")
    client.paho.username_pw_set(*registered(api, "curious"))
    await asyncio.to_thread(client.connect, house.mqtt_port)
    assert await asyncio.to_thread(client.ask_for, "tablet/victim/command", 1) == 0x80
    assert await asyncio.to_thread(client.ask_for, "tablet/+/command", 1) == 0x80
    client.disconnect()


async def test_a_bad_token_does_not_follow(house: House) -> None:
    """«Token in `?token=` or the `Authorization` header; open on loopback in development.»"""
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(WAIT_S), watching(house, "wrong"):
            pass
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401
    async with asyncio.timeout(WAIT_S), watching(house, house.login()):
        pass


async def test_what_is_no_status_waits_in_quarantine(house: House, api: Any) -> None:
    """«Nothing is dropped silently.»"""
    tablet = Tablet(house, "garbled")
    await asyncio.to_thread(tablet.wake)
    await asyncio.to_thread(tablet.say, "status", STATUS)
    await asyncio.to_thread(tablet.say, "status", {"battery": 400, "wifiStatus": True})
    await asyncio.to_thread(tablet.sleep)
    found = house.http(house.url).get("/api/v1/quarantine?limit=10").json()["items"]
    [kept] = [each for each in found if each["topic"] == "tablet/garbled/status"]
    assert "battery" in kept["reason"]
    assert shown(api, "garbled")["battery"] == 73


@pytest.fixture
def production(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, apps=("tablets",), environment={"FLEETWIRE_MODE": "production"})
    try:
        house.start()
        yield house
    finally:
        house.close()


async def test_in_production_nobody_follows_without_a_token(production: House) -> None:
    """«Token in `?token=` or the `Authorization` header; open on loopback in development.»"""
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(WAIT_S), watching(production):
            pass
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401
    token = production.login()
    for query, header in ((token, ""), ("", token)):
        async with asyncio.timeout(WAIT_S), watching(production, query, header=header):
            pass
