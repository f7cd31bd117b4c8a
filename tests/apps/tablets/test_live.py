"""A real server and tablets as the field has them: Paho, MQTT 3.1.1, cleanSession=false, a Will."""

import asyncio
import json
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from websockets.exceptions import ConnectionClosed

from tests.apps.tablets.house import WAIT_S, url_of, watching
from tests.house import House, Login
from tests.interop.paho_client import PahoClient

pytestmark = pytest.mark.slow

STATUS = {"battery": 73, "wifiStatus": True, "uptime": 7_200_000, "bootTime": 1_769_853_600_000}
WILL = {"battery": 0, "wifiStatus": False, "uptime": 0, "bootTime": 0, "isCharging": False}


class Tablet:
    """One tablet; `login` None = without credentials, as the field's are."""

    def __init__(self, house: House, id: str, login: Login | None = None) -> None:
        self.id = id
        self._house = house
        self._login = login
        self._client: PahoClient

    def _new(self) -> PahoClient:
        client = PahoClient(MQTTProtocolVersion.MQTTv311, f"ontrak_tablet_{self.id}", clean=False)
        client.paho.will_set(f"tablet/{self.id}/status", json.dumps(WILL), qos=1, retain=False)
        if self._login is not None:
            client.paho.username_pw_set(*self._login)
        return client

    def wake(self) -> None:
        """Connect again and subscribe, as Paho's users do each time."""
        self._client = self._new()
        self._client.connect(self._house.mqtt_port)
        self._client.subscribe(f"tablet/{self.id}/command", 1)

    def say(self, topic: str, body: dict[str, Any]) -> None:
        """Publish and wait for the PUBACK."""
        self._client.publish(f"tablet/{self.id}/{topic}", json.dumps(body).encode(), 1)

    def command(self, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Return the next command. Raises queue.Empty."""
        message = self._client.messages.get(timeout=timeout_s)
        assert message.qos == 1
        assert not message.retain
        told: dict[str, Any] = json.loads(message.payload)
        return told

    def sleep(self) -> None:
        """Disconnect, and say so: the Will is not sent."""
        self._client.disconnect()

    def die(self) -> None:
        """Lose the network without a word."""
        self._client.lose_connection()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("tablets"), apps=("tablets",))
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture
def api(house: House) -> Any:
    return house.http(url_of(house))


def shown(api: Any, code: str) -> dict[str, Any]:
    data: dict[str, Any] = api.get(f"/api/device/{code}").json()["data"]
    return data


def registered(api: Any, code: str) -> Login:
    answer = api.post("/api/device", json={"deviceCode": code})
    mqtt = answer.json()["data"]["mqtt"]
    return Login(mqtt["username"], mqtt["password"])


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
    """«**OFFLINE**, and must not store battery 0» · «pushes `device_status` with `OFFLINE`»"""
    tablet = Tablet(house, "dying")
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", STATUS)
        frame = await next_of("device_status")
        assert (frame["data"]["status"], frame["data"]["battery"]) == ("ONLINE", 73)
        tablet.die()
        frame = await next_of("device_status")
    assert frame["deviceCode"] == "dying"
    data = frame["data"]
    assert (data["status"], data["battery"], data["reason"]) == ("OFFLINE", 73, "will")
    device = shown(api, "dying")
    assert (device["status"], device["battery"], device["wifiStatus"]) == ("OFFLINE", 73, True)


async def test_a_tablet_with_credentials_is_offline_when_its_session_ends(
    house: House, api: Any
) -> None:
    tablet = Tablet(house, "leaving", registered(api, "leaving"))
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", {"battery": 20, "wifiStatus": True})
        while (frame := await next_of("device_status"))["data"]["battery"] != 20:
            pass
        assert frame["data"]["status"] == "ONLINE"
        await asyncio.to_thread(tablet.sleep)
        frame = await next_of("device_status")
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
            frame = await next_of(type)
            assert set(frame) == {"type", "deviceId", "deviceCode", "data"}
            assert frame["deviceCode"] == "talking"
        mending = {"deviceIds": ["talking"], "maintenanceStatus": "DAMAGED"}
        path = "/api/device/maintenance-status"
        await asyncio.to_thread(api.patch, path, json=mending)
        frame = await next_of("device_borrow_status")
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
    """A tablet that sends itself commands, or speaks as another, is refused, and it is recorded."""
    victim = Tablet(house, "victim", registered(api, "victim"))
    await asyncio.to_thread(victim.wake)
    await asyncio.to_thread(victim.say, "status", STATUS)
    forger = Login(*registered(api, "forger"))
    lock = json.dumps({"action": "LOCK_DEVICE", "params": {}})
    empty = json.dumps({"battery": 1, "wifiStatus": False})
    for topic, payload in (
        ("tablet/forger/command", lock),
        ("tablet/victim/command", lock),
        ("tablet/victim/status", empty),
        ("tablet/victim/command_result", '{"commandId":"x","success":true}'),
    ):
        client = PahoClient(MQTTProtocolVersion.MQTTv311, "ontrak_tablet_forger")
        client.paho.username_pw_set(*forger)
        client.connect(house.mqtt_port)
        client.paho.publish(topic, payload, qos=1)
        await refused(house, topic)
        client.disconnect()
    with pytest.raises(queue.Empty):
        victim.command(timeout_s=0.2)
    device = shown(api, "victim")
    assert (device["battery"], device["status"]) == (73, "ONLINE")
    assert device["actionLogs"] == []
    assert shown(api, "forger")["actionLogs"] == []
    await asyncio.to_thread(victim.sleep)


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
def production(tmp_path: Any) -> Iterator[House]:
    house = House(tmp_path, apps=("tablets",), environment={"FLEETWIRE_MODE": "production"})
    try:
        house.start()
        yield house
    finally:
        house.close()


async def test_in_production_nobody_follows_without_a_token(production: House) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(WAIT_S), watching(production):
            pass
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4401
