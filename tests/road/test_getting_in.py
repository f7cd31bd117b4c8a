"""Devices that get in by themselves, on a real server: nobody registered them, nothing is lost."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwire.net.client import (
    ConnectionLostError,
    ConnectionRefusedByServerError,
    MessageRefusedError,
    MQTTClient,
)
from tests.house import House
from tests.net.certificates import Authority

WAIT_S = 20.0
READING = {"metric_type": "spo2", "value": 97}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server as the first start makes it: on loopback, with no setting about devices."""
    house = House(tmp_path_factory.mktemp("fresh"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def readings(house: House, device_id: str) -> list[Any]:
    answer = house.http(house.url).get(f"/api/v1/devices/medical/{device_id}/readings")
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json()["items"]
    return items


async def anonymous(house: House, client_id: str = "") -> MQTTClient:
    client = MQTTClient(client_id or "tool")
    await client.connect("127.0.0.1", house.mqtt_port)
    return client


@pytest.mark.needs_mosquitto
def test_a_fresh_server_takes_the_first_message_of_an_unknown_device(fresh: House) -> None:
    subprocess.run(
        ["mosquitto_pub", "-h", "localhost", "-p", str(fresh.mqtt_port), "-q", "1",
         "-t", "devices/new-one/data", "-m", json.dumps(READING)],
        check=True, timeout=WAIT_S,
    )  # fmt: skip
    assert [each["value"] for each in readings(fresh, "new-one")] == [97]
    assert fresh.http(fresh.medical_url).get("/devices/new-one").status_code == 200
    deeds = fresh.http(fresh.url).get("/api/v1/audit?action=device.enrolled").json()["items"]
    assert ("anonymous", "device:medical/new-one") in [(d["actor"], d["subject"]) for d in deeds]
    listed = fresh.http(fresh.url).get("/api/v1/enrolments").json()["items"]
    assert ("message", "new-one") in [(each["way"], each["device_id"]) for each in listed]


async def test_many_unknown_devices_at_once_lose_nothing(fresh: House) -> None:
    client = await anonymous(fresh, "many")
    for turn in range(3):
        for number in range(40):
            body = json.dumps(READING | {"value": 90 + turn}).encode()
            await client.publish(f"devices/many-{number}/data", body, 1)
    await client.disconnect()
    for number in (0, 17, 39):
        values = sorted(each["value"] for each in readings(fresh, f"many-{number}"))
        assert values == [90, 91, 92]
    quarantined = fresh.http(fresh.url).get("/api/v1/quarantine").json()["items"]
    assert [each for each in quarantined if "many-" in each["topic"]] == []


async def test_what_is_acknowledged_survives_a_loss_of_power(tmp_path: Path) -> None:
    house = House(tmp_path)
    try:
        house.start()
        client = await anonymous(house)
        await client.publish("devices/killed/data", json.dumps(READING).encode(), 1)
        house.kill()
        house.start()
        assert [each["value"] for each in readings(house, "killed")] == [97]
    finally:
        house.close()


async def test_a_bound_says_so_in_quarantine(tmp_path: Path) -> None:
    house = House(tmp_path, environment={"FLEETWIRE_PROVISIONING_ENROL_MOST": "2"})
    try:
        house.start()
        client = await anonymous(house)
        for number in range(2):
            await client.publish(f"devices/d{number}/data", json.dumps(READING).encode(), 1)
        with pytest.raises(MessageRefusedError):
            await client.publish("devices/d2/data", json.dumps(READING).encode(), 1)
        await client.disconnect()
        (kept,) = house.http(house.url).get("/api/v1/quarantine").json()["items"]
        assert kept["topic"] == "devices/d2/data"
        assert "2 devices have enrolled themselves, which is the most" in kept["reason"]
    finally:
        house.close()


async def test_where_the_setting_says_quarantine_nobody_enrols(tmp_path: Path) -> None:
    house = House(tmp_path, environment={"FLEETWIRE_UNKNOWN_DEVICES": "quarantine"})
    try:
        house.start()
        client = await anonymous(house)
        with pytest.raises(MessageRefusedError):
            await client.publish("devices/d/data", json.dumps(READING).encode(), 1)
        await client.disconnect()
        (kept,) = house.http(house.url).get("/api/v1/quarantine").json()["items"]
        assert kept["reason"] == "Device 'd' is not registered with 'medical'"
        assert house.http(house.url).get("/api/v1/devices").json()["items"] == []
    finally:
        house.close()


async def test_a_trusted_certificate_of_nobodys_name_enrols_its_device(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "fleet")
    files = authority.server()
    house = House(
        tmp_path,
        environment={
            "FLEETWIRE_TLS_CERTIFICATE": str(files.certificate),
            "FLEETWIRE_TLS_KEY": str(files.key),
            "FLEETWIRE_TLS_CLIENT_CA": str(authority.path),
            "FLEETWIRE_TLS_IDENTITY": "common_name",
            "FLEETWIRE_TLS_ENROL": "medical",
            "FLEETWIRE_MQTT_TLS_PORT": "0",
        },
    )
    try:
        house.start()
        port = json.loads((tmp_path / "ready.json").read_text())["mqtts"]
        tls = ssl.create_default_context(cafile=str(authority.path))
        tls.load_cert_chain(*authority.client("pump-7"))
        client = MQTTClient("c")
        await client.connect("127.0.0.1", port, tls=tls)
        await client.publish("devices/pump-7/data", json.dumps(READING).encode(), 1)
        await client.disconnect()
        assert [each["value"] for each in readings(house, "pump-7")] == [97]
        path = "/api/v1/devices/medical/pump-7/credentials"
        (credential,) = house.http(house.url).get(path).json()
        assert credential["kind"] == "certificate"
        house.http(house.url).delete(f"{path}/{credential['id']}").raise_for_status()
        with pytest.raises(ConnectionRefusedByServerError, match="revoked"):
            await MQTTClient("c").connect("127.0.0.1", port, tls=tls)
    finally:
        house.close()


async def test_a_token_that_rotation_has_ended_is_put_out_within_two_seconds(fresh: House) -> None:
    login = fresh.register_device("rotated")
    client = MQTTClient("rotated", username=login.username, password=login.password)
    await client.connect("127.0.0.1", fresh.mqtt_port)
    answer = await asyncio.to_thread(
        fresh.http(fresh.url).post,
        "/api/v1/devices/medical/rotated/credentials",
        json={"overlap": "0s"},
    )
    assert answer.status_code == 201
    with pytest.raises(ConnectionLostError):
        async with asyncio.timeout(2):
            await anext(client.messages())
