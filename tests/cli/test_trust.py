"""`fleetwire quarantine`, `audit` and `acl` against a running server."""

import asyncio
import json

import pytest

from fleetwire.net.client import MessageRefusedError, MQTTClient
from tests.cli.conftest import Run
from tests.house import House


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    monkeypatch.setenv("COLUMNS", "300")
    return shared_house


async def send(house: House, device_id: str, *payloads: bytes) -> None:
    client = MQTTClient(device_id)
    await client.connect("127.0.0.1", house.mqtt_port)
    for payload in payloads:
        with pytest.raises(MessageRefusedError):  # it is kept all the same
            await client.publish(f"devices/{device_id}/data", payload, 1)
    await client.disconnect()


def test_what_came_too_early_is_carried_once_the_device_is_known(run: Run, at_house: House) -> None:
    good = b'{"metric_type":"spo2","value":97,"timestamp":"2026-01-31T12:00:00Z"}'
    asyncio.run(send(at_house, "trust-1", good, b"\x1b[31m"))
    listed = run("quarantine", "--device", "trust-1")
    assert listed.status == 0, listed.err
    assert "not registered" in listed.out
    assert run("quarantine", "--device", "trust").err == "No message fits.\n"
    messages = json.loads(run("quarantine", "list", "--device", "trust-1", "--json").out)
    shown = json.loads(run("quarantine", "show", messages[0]["id"]).out)
    assert shown["payload"] == "\x1b[31m"
    tried = run("quarantine", "rerun", "--device", "trust-1", "--dry-run")
    assert tried.out.count("refused: ") == 2
    at_house.register_device("trust-1")
    tried = run("quarantine", "rerun", "--device", "trust-1", "--dry-run")
    assert tried.status == 0, tried.err
    assert '"effect": "reading"' in tried.out
    assert len(json.loads(run("quarantine", "--device", "trust-1", "--json").out)) == 2
    carried = run("quarantine", "rerun", "--device", "trust-1")
    assert (carried.status, carried.out) == (1, "1 accepted, 1 refused again, 0 left alone\n")
    query = (
        "SELECT readings.source FROM readings JOIN devices ON devices.id = readings.device "
        "WHERE devices.device_id = ?"
    )
    assert at_house.select(query, "trust-1") == [(good.decode(),)]
    assert run("quarantine", "discard", "--device", "trust-1").err == "1 discarded.\n"
    assert json.loads(run("quarantine", "--device", "trust-1", "--json").out) == []
    for words in (["discard"], ["discard", "1", "--all"], ["rerun"]):
        refused = run("quarantine", *words)
        assert (refused.status, refused.out) == (1, "")
        assert "or say --all" in refused.err


def test_the_audit_is_listed_verified_and_taken_away(run: Run, at_house: House) -> None:
    at_house.register_device("trust-2")
    subject = "device:medical/trust-2"
    listed = run("audit", "--action", "device.registered", "--subject", subject)
    assert listed.status == 0, listed.err
    assert subject in listed.out
    assert run("audit", "--action", "nothing").err == "Nothing is on record that fits.\n"
    verified = run("audit", "verify")
    assert (verified.status, verified.err) == (0, "")
    assert "records hold" in verified.out
    head = json.loads(run("audit", "verify", "--json").out)["own"]["head"]
    assert run("audit", "verify", "--known", head).status == 0
    gone = run("audit", "verify", "--known", "0" * 64)
    assert gone.status == 1
    assert "the known head is gone" in gone.out
    taken = run("audit", "export", "-o", "audit.csv", "-f", "csv", "--subject", subject)
    assert taken.status == 0, taken.err
    with open("audit.csv", encoding="utf-8") as file:
        lines = file.readlines()
    assert lines[0].startswith("id,at,actor,action,subject")
    assert any("device.registered" in line for line in lines)
    refused = run("audit", "export", "-f", "xml", "-o", "audit.csv")
    assert (refused.status, refused.out) == (1, "")
    with open("audit.csv", encoding="utf-8") as file:
        assert file.readlines() == lines


def test_the_acl_tester_answers_by_its_exit_status(run: Run, at_house: House) -> None:
    at_house.register_device("trust-3")
    identity = "device:medical/trust-3"
    may = run("acl", "test", identity, "publish", "devices/trust-3/data")
    assert (may.status, may.out.partition(":")[0]) == (0, "yes"), may.err
    assert "given by: the app 'medical'" in may.err
    must_not = run("acl", "test", identity, "publish", "devices/trust-2/data", "--json")
    assert must_not.status == 1
    assert json.loads(must_not.out)["may_connect"] is True
    assert run("acl", "test", "account:1", "subscribe", "devices/+/data").status == 0
    assert run("acl", "test", "anonymous", "subscribe", "#").status == 0
    nobody = run("acl", "test", "device:medical/nobody", "publish", "a")
    assert nobody.status == 1
    assert "There is no 'device:medical/nobody'" in nobody.err
