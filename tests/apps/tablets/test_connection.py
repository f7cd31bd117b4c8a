"""How a tablet connects, what it may be called, and what the server says of its settings."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.apps.tablets.house import WAIT_S, tablets_house, url_of, watching
from tests.apps.tablets.tablet import STATUS, Tablet, shown
from tests.house import House
from tests.interop.paho_client import PahoClient

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv31])
async def test_both_protocols_of_the_field_keep_a_session_and_a_will(
    house: House, api: Any, protocol: MQTTProtocolVersion
) -> None:
    """«MQTT 3.1.1 (falls back to 3.1), client id `ontrak_tablet_{deviceId}`, cleanSession=false»

    «Will on `tablet/{id}/status` QoS 1 not retained»
    """
    code = f"protocol-{int(protocol)}"
    tablet = Tablet(house, code, protocol=protocol)
    watcher = PahoClient(MQTTProtocolVersion.MQTTv311, f"watcher-{code}")
    await asyncio.to_thread(watcher.connect, house.mqtt_port)
    await asyncio.to_thread(watcher.subscribe, f"tablet/{code}/status", 1)
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        await asyncio.to_thread(tablet.wake)
        await asyncio.to_thread(tablet.say, "status", STATUS)
        assert (await next_of("device_status", code))["data"]["status"] == "ONLINE"
        tablet.die()
        assert (await next_of("device_status", code))["data"]["status"] == "OFFLINE"
    seen = [await asyncio.to_thread(watcher.receive) for _ in range(2)]
    assert [json.loads(each.payload)["battery"] for each in seen] == [73, 0]
    assert (seen[1].qos, seen[1].retain) == (1, False)
    answer = api.post(f"/api/device/{code}/command", json={"action": "WIFI_ON"})
    await asyncio.to_thread(tablet.wake)
    told = await asyncio.to_thread(tablet.command)
    assert told["commandId"] == answer.json()["command"]["id"]
    await asyncio.to_thread(tablet.sleep)
    later = PahoClient(MQTTProtocolVersion.MQTTv311, f"later-{code}")
    await asyncio.to_thread(later.connect, house.mqtt_port)
    await asyncio.to_thread(later.subscribe, f"tablet/{code}/#", 1)
    assert await asyncio.to_thread(later.receives_nothing)  # neither Will nor command is retained
    for client in (watcher, later):
        client.disconnect()


@pytest.mark.parametrize("code", ["9774d56d682e549c", "test-device", "Tab 7 (Büro) №1", "0"])
async def test_a_tablet_may_have_any_name(house: House, api: Any, code: str) -> None:
    """«(`{id}` = `deviceCode`, the 16-hex Android id, or any other name)»"""
    tablet = Tablet(house, code)
    await asyncio.to_thread(tablet.wake)
    await asyncio.to_thread(tablet.say, "status", STATUS)
    listed = {each["deviceCode"]: each for each in api.get("/api/device").json()["data"]}
    assert (listed[code]["status"], listed[code]["battery"]) == ("ONLINE", 73)
    answer = api.post(f"/api/device/{listed[code]['id']}/command", json={"action": "LOCK_DEVICE"})
    assert (await asyncio.to_thread(tablet.command))["commandId"] == answer.json()["command"]["id"]
    await asyncio.to_thread(tablet.sleep)


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """«QoS 1/2 acknowledged means stored», and a command that waits goes on waiting."""
    with tablets_house(tmp_path) as house:
        tablet = Tablet(house, "survivor")
        tablet.wake()
        tablet.say("status", STATUS)
        tablet.say("location", {"latitude": -6.2, "longitude": 106.8})
        tablet.say("event", {"eventType": "BOOT"})
        tablet.freeze()
        house.kill()
        house.start()
        api = house.http(url_of(house))
        data = shown(api, "survivor")
        assert (data["battery"], data["latitude"]) == (73, -6.2)
        assert [each["action"] for each in data["actionLogs"]] == ["BOOT"]
        assert (data["status"], data["statusReason"]) == ("OFFLINE", "restart")
        answer = api.post("/api/device/survivor/command", json={"action": "LOCK_DEVICE"})
        house.kill()
        house.start()
        tablet.wake()
        assert tablet.command()["commandId"] == answer.json()["command"]["id"]
        assert tablet.hears_nothing()
        tablet.sleep()


def test_a_client_without_credentials_stays_out_where_they_are_demanded(tmp_path: Path) -> None:
    """«A listener bound to loopback may run open for development»; it need not."""
    with tablets_house(tmp_path, environment={"FLEETWIRE_ANONYMOUS": "never"}) as house:
        client = PahoClient(MQTTProtocolVersion.MQTTv311, "ontrak_tablet_x", clean=False)
        _, reason = client.connect(house.mqtt_port)
        assert reason.is_failure
        made: Any = house.http(url_of(house)).post("/api/device", json={"deviceCode": "x"}).json()
        again = PahoClient(MQTTProtocolVersion.MQTTv311, "ontrak_tablet_x", clean=False)
        again.paho.username_pw_set(**made["data"]["mqtt"])
        _, reason = again.connect(house.mqtt_port)
        assert not reason.is_failure
        again.disconnect()
        client.disconnect()


def test_a_broker_of_the_field_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    """«`MQTT_BROKER_URL=mqtt://localhost:1883`» · «none of them is needed»"""
    environment = {
        "MQTT_BROKER_URL": "mqtt://localhost:1",
        "MQTT_USERNAME": "",
        "MQTT_PASSWORD": "",
        "MQTT_CLIENT_ID": "ontrak-backend",
    }
    with tablets_house(tmp_path, environment=environment) as house:
        health = house.http(url_of(house)).get("/health").json()
        assert health["mqtt"] == {"connected": False}
        said = [each for each in house.log().splitlines() if "external broker away" in each]
        assert len(said) == 1
        assert "Nothing listens at localhost:1" in said[0]
        assert "Without MQTT_BROKER_URL they connect to the broker in this process" in " ".join(
            house.log().split()
        )


def test_the_doctor_says_that_nothing_answers(tmp_path: Path) -> None:
    """«`fleetwire doctor` says in plain words what is wrong … time-out»"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://localhost:{silent.getsockname()[1]}"
        words = ["doctor", "--apps", "tablets", "--json", "--data-dir", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-m", "fleetwire.cli.main", *words],
            env=os.environ | {"MQTT_BROKER_URL": url},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    said = {each["about"]: each for each in json.loads(done.stdout)["checks"]}["broker"]
    assert said["level"] == "wrong"
    assert "A firewall may be between" in said["advice"]
