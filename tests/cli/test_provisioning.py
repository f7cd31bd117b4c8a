"""`fleetwire claims`, `fleet-keys`, `enrolments` and `devices credentials`, `rotate`, `revoke`."""

import json
from itertools import count

import httpx
import pytest

from fleetwire.net.client import MQTTClient
from tests.cli.conftest import Run
from tests.house import House

_numbers = count(1)


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


@pytest.fixture
def name() -> str:
    """A device_id that nobody has."""
    return f"gi-{next(_numbers)}"


async def connects(house: House, username: str, password: str) -> None:
    """Connect, publish what is stored, and leave. Raises if it is refused."""
    client = MQTTClient(username, username=username, password=password)
    await client.connect("127.0.0.1", house.mqtt_port)
    await client.publish(f"devices/{username}/data", b'{"metric_type": "spo2", "value": 97}', 1)
    await client.disconnect()


def told(out: str) -> tuple[str, str]:
    username, password = (line.split(" ", 1)[1] for line in out.strip().splitlines())
    return username, password


async def test_a_code_is_made_drawn_used_and_no_good_twice(
    at_house: House, run: Run, name: str
) -> None:
    made = run("claims", "create", name, "-t", "ecg_monitor", "-a", "patient_id=P-1", "--qr")
    assert made.status == 0, made.err
    code = made.out.strip()
    assert "█" in made.err
    assert f"/claim#{code}" in made.err
    (claim,) = [c for c in json.loads(run("claims", "--json").out) if c["device_id"] == name]
    assert code not in run("claims", "list").out
    assert run("claims", "svg", claim["id"]).out.startswith("<?xml")
    used = run("claims", "use", code.lower())
    await connects(at_house, *told(used.out))
    again = run("claims", "use", code)
    assert (again.status, "unknown, used" in again.err) == (1, True)
    device = at_house.http(at_house.url).get(f"/api/v1/devices/medical/{name}").json()
    assert (device["type"], device["attributes"]) == ("ecg_monitor", {"patient_id": "P-1"})


def test_a_revoked_code_is_no_good(at_house: House, run: Run, name: str) -> None:
    made = json.loads(run("claims", "create", name, "-t", "ecg_monitor", "--json").out)
    assert run("claims", "revoke", made["claim"]["id"]).status == 0
    assert run("claims", "use", made["code"]).status == 1


def test_an_attribute_must_have_a_value(at_house: House, run: Run, name: str) -> None:
    refused = run("claims", "create", name, "-t", "x", "-a", "floor")
    assert (refused.status, "NAME=VALUE" in refused.err) == (1, True)


async def test_a_device_asks_and_is_approved(at_house: House, run: Run, name: str) -> None:
    key = run(
        "fleet-keys", "create", "line 2", "-t", "ecg_monitor", "--valid-for", "1d"
    ).out.strip()
    async with httpx.AsyncClient(base_url=f"{at_house.url}/api/v1/provision") as device:
        asked = await device.post(
            "/enrol", json={"fleet_key": key, "device_id": name, "facts": {"serial": "A-1"}}
        )
        assert (asked.status_code, asked.headers["retry-after"]) == (202, "10")
        listed = run("enrolments", "list", "--state", "pending")
        assert name in listed.out
        assert "pending" in listed.out
        (request,) = [
            each
            for each in json.loads(run("enrolments", "--json").out)
            if each["device_id"] == name
        ]
        assert request["facts"] == {"serial": "A-1"}
        assert run("enrolments", "approve", request["id"], "--name", "Bed 4").status == 0
        token = asked.json()["poll_token"]
        given = await device.post("/poll", json={"poll_token": token})
        assert given.status_code == 200, given.text
        mqtt = given.json()["mqtt"]
        assert mqtt["ports"]["mqtt"] == at_house.mqtt_port
        await connects(at_house, mqtt["username"], mqtt["password"])
        again = await device.post("/poll", json={"poll_token": token})
        assert again.status_code == 409
    assert key not in run("fleet-keys").out


def test_a_device_is_kept_out_and_its_key_revoked(at_house: House, run: Run, name: str) -> None:
    key = run("fleet-keys", "create", "line 3", "-t", "ecg_monitor").out.strip()
    asked = {"fleet_key": key, "device_id": name}
    url = f"{at_house.url}/api/v1/provision/enrol"
    assert httpx.post(url, json=asked).status_code == 202
    listed = json.loads(run("enrolments", "list", "--app", "medical", "--json").out)
    (number,) = [each["id"] for each in listed if each["device_id"] == name]
    assert run("enrolments", "refuse", number, "--reason", "not one of ours").status == 0
    refused = httpx.post(url, json=asked)
    assert (refused.status_code, "not one of ours" in refused.text) == (403, True)
    (own,) = [k for k in json.loads(run("fleet-keys", "--json").out) if k["name"] == "line 3"]
    assert run("fleet-keys", "revoke", own["id"]).status == 0
    assert httpx.post(url, json=asked).status_code == 401


async def test_a_token_is_rotated_listed_as_ending_and_revoked(
    at_house: House, run: Run, name: str
) -> None:
    old = at_house.register_device(name)
    rotated = run("devices", "rotate", name, "--overlap", "2h")
    assert rotated.status == 0, rotated.err
    new = told(rotated.out)
    for username, password in (old, new):
        await connects(at_house, username, password)
    ending = json.loads(run("devices", "credentials", "--expiring", "1d", "--json").out)
    (credential,) = [each for each in ending if each["device_id"] == name]
    assert credential["is_outlived"]
    assert str(credential["id"]) in run("devices", "credentials", name).out
    assert run("devices", "revoke", name, credential["id"]).status == 0
    ending = json.loads(run("devices", "credentials", "--expiring", "1d", "--json").out)
    assert name not in [each["device_id"] for each in ending]
    await connects(at_house, *new)


def test_credentials_are_asked_for_in_one_way(at_house: House, run: Run) -> None:
    for words in ((), ("d", "--expiring", "1d")):
        assert run("devices", "credentials", *words).status == 2
