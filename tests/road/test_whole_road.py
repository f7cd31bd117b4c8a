"""The road from end to end on a real server: PUBLISH, row, PUBACK, REST, push, command."""

import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fleetwire.kit.instants import iso, now
from tests.house import House, Login
from tests.interop.paho_client import MQTTProtocolVersion, PahoClient

WAIT_S = 10.0


@pytest.fixture(scope="module")
def medical(shared_house: House) -> httpx.Client:
    return shared_house.http(shared_house.medical_url)


@pytest.fixture(scope="module")
def platform(shared_house: House) -> httpx.Client:
    return shared_house.http(shared_house.url)


def publish(house: House, login: Login, topic: str, payload: str, *more: str) -> int:
    """Publish QoS 1 as the README does; return mosquitto_pub's exit status."""
    words = ["mosquitto_pub", "-p", str(house.mqtt_port), "-q", "1", "-i", login.username]
    words += ["-u", login.username, "-P", login.password, "-t", topic, "-m", payload, *more]
    return subprocess.run(words, timeout=WAIT_S, capture_output=True).returncode


def eventually(what: Any) -> Any:
    """Return the first true result of a call within the time allowed."""
    deadline = time.monotonic() + WAIT_S
    while not (result := what()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)
    return result


@pytest.fixture
def live(shared_house: House) -> Iterator[ClientConnection]:
    with watch(shared_house) as connection:
        yield connection


def watch(house: House, **parameters: object) -> ClientConnection:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    url = house.medical_url.replace("http", "ws", 1) + f"/ws/mqtt?{query}"
    headers = {"Authorization": f"Bearer {house.login()}"}
    # A reader that leaves with frames unread waits in vain for the answer to its goodbye.
    return connect(url, additional_headers=headers, close_timeout=0.2)


def read(connection: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(connection.recv(WAIT_S))
    return event


@pytest.mark.needs_mosquitto
def test_a_reading_is_stored_acknowledged_read_back_and_seen_live(
    shared_house: House, medical: httpx.Client, live: ClientConnection
) -> None:
    answer = medical.post(
        "/devices/register",
        json={"device_id": "bp-1", "type": "blood_pressure_monitor", "patient_id": "p-1"},
    )
    assert answer.status_code == 201
    login = Login(answer.json()["mqtt"]["username"], answer.json()["mqtt"]["password"])
    body = {
        "device_id": "bp-1", "metric_type": "blood_pressure", "systolic": 120, "diastolic": 80,
        "heart_rate": 0, "timestamp": "2026-01-31T12:00:00Z",
    }  # fmt: skip
    assert publish(shared_house, login, "devices/bp-1/data", json.dumps(body)) == 0

    # Acknowledged means stored: by plain SQL, from another process, at once.
    rows = shared_house.select(
        "SELECT metric_type, value, unit, timestamp, metadata FROM device_readings "
        "WHERE device_id = ? ORDER BY metric_type",
        "bp-1",
    )
    assert [row[:3] for row in rows] == [
        ("blood_pressure.diastolic", 80, "mmHg"),
        ("blood_pressure.heart_rate", 0, "/min"),
        ("blood_pressure.systolic", 120, "mmHg"),
    ]
    assert all(json.loads(row[4]) == body for row in rows)
    [device] = shared_house.select(
        "SELECT device_id, patient_id, type FROM medical_devices WHERE device_id = 'bp-1'"
    )
    assert device == ("bp-1", "p-1", "blood_pressure_monitor")

    data = medical.get("/devices/bp-1/data?metric_type=blood_pressure").json()["items"]
    assert {(item["metric_type"], item["value"]) for item in data} == {(r[0], r[1]) for r in rows}

    seen = read(live)
    while seen["type"] != "device.data.received":
        seen = read(live)
    assert {name: seen[name] for name in body} == body
    assert seen["topic"] == "devices/bp-1/data"
    assert "received_at" in seen

    # The same again stores nothing twice; another value at the same instant is kept beside it.
    assert publish(shared_house, login, "devices/bp-1/data", json.dumps(body)) == 0
    body["systolic"] = 121
    assert publish(shared_house, login, "devices/bp-1/data", json.dumps(body)) == 0
    rows = shared_house.select("SELECT value FROM device_readings WHERE device_id = 'bp-1'")
    assert sorted(value for (value,) in rows) == [0, 80, 120, 121]


@pytest.mark.parametrize("version", list(MQTTProtocolVersion))
def test_paho_in_every_version_is_acknowledged_after_the_row_is_there(
    shared_house: House, version: MQTTProtocolVersion
) -> None:
    name = f"paho-{version.name}"
    login = shared_house.register_device(name, "temperature_sensor")
    client = PahoClient(version, name)
    client.paho.username_pw_set(*login)
    client.connect(shared_house.mqtt_port)
    for number in range(20):
        payload = json.dumps({"metric_type": "temperature", "value": 36 + number / 10})
        client.paho.publish(f"devices/{name}/data", payload, qos=number % 2 + 1).wait_for_publish(
            10
        )
        [(count,)] = shared_house.select(
            "SELECT count(*) FROM device_readings WHERE device_id = ?", name
        )
        assert count == number + 1
    client.paho.disconnect()


def test_a_partial_status_wipes_nothing(shared_house: House, medical: httpx.Client) -> None:
    login = shared_house.register_device("st-1", "pulse_oximeter")
    topic = "devices/st-1/status"
    assert publish(shared_house, login, topic, '{"status":"online","battery":85}') == 0
    assert publish(shared_house, login, topic, '{"signal_strength":-45,"battery":0}') == 0
    device = medical.get("/devices/st-1").json()
    assert device["status"] == "online"
    assert device["reported"] == {"battery": 0, "signal_strength": -45}
    eventually(lambda: medical.get("/devices/st-1").json()["last_seen"] is not None)


def test_a_command_goes_queued_sent_delivered(
    shared_house: House, medical: httpx.Client, live: ClientConnection
) -> None:
    login = shared_house.register_device("cmd-1", "ecg_monitor")
    command = {"command": "start_monitoring", "parameters": {"interval": 30, "duration": 3600}}
    sent = medical.post("/devices/cmd-1/command", json=command)
    assert sent.status_code == 202
    assert sent.json()["state"] == "queued"

    device = PahoClient(MQTTProtocolVersion.MQTTv311, "cmd-1", clean=False)
    device.paho.username_pw_set(*login)
    device.connect(shared_house.mqtt_port)
    device.paho.subscribe("devices/cmd-1/commands", qos=1)
    message = device.messages.get(timeout=WAIT_S)
    assert json.loads(message.payload) == {
        "command": "start_monitoring", "interval": 30, "duration": 3600
    }  # fmt: skip
    changes = []
    while not changes or changes[-1] != "command.delivered":
        event = read(live)
        if event.get("command_id") == sent.json()["id"]:
            changes.append(event["type"])
    assert changes == ["command.queued", "command.sent", "command.delivered"]
    record = medical.get("/devices/cmd-1/commands").json()["items"][0]
    assert [line["state"] for line in record["timeline"]] == ["queued", "sent", "delivered"]

    waited = medical.post("/devices/cmd-1/command?wait=10s", json=command)
    assert (waited.status_code, waited.json()["state"]) == (200, "delivered")
    device.paho.disconnect()


def test_a_command_nobody_takes_in_time_expires(shared_house: House, medical: httpx.Client) -> None:
    login = shared_house.register_device("cmd-2", "ecg_monitor")
    answer = medical.post("/devices/cmd-2/command?wait=5s&expires_in=1s", json={"command": "start"})
    assert answer.status_code == 409
    device = PahoClient(MQTTProtocolVersion.MQTTv311, "cmd-2")
    device.paho.username_pw_set(*login)
    device.connect(shared_house.mqtt_port)
    device.paho.subscribe("devices/cmd-2/commands", qos=1)
    with pytest.raises(queue.Empty):
        device.messages.get(timeout=0.5)
    device.paho.disconnect()
    assert medical.post("/devices/nobody/command", json={"command": "x"}).status_code == 404


def refusals(platform: httpx.Client) -> str:
    """Return what the audit says of refused clients, as one text."""
    lines = platform.get("/api/v1/audit?limit=200").json()["items"]
    return " ".join(str(line["detail"]) for line in lines if line["action"] == "mqtt.refused")


@pytest.mark.needs_mosquitto
def test_who_may_not_is_refused_and_it_can_be_seen(
    shared_house: House, platform: httpx.Client
) -> None:
    login = shared_house.register_device("own", "weight_scale")
    shared_house.register_device("other", "weight_scale")
    message = '{"metric_type":"weight","value":70}'
    credentials = "/api/v1/devices/medical/own/credentials"

    assert publish(shared_house, Login("own", "wrong"), "devices/own/data", message) != 0

    soon = platform.post(credentials, json={"expires_at": iso(now() + 1_500_000)})
    assert soon.status_code == 201
    short = Login("own", soon.json()["password"])
    assert publish(shared_house, short, "devices/own/data", message) == 0
    time.sleep(1.6)
    assert publish(shared_house, short, "devices/own/data", message) != 0

    extra = platform.post(credentials, json={}).json()
    extra_login = Login("own", extra["password"])
    client = PahoClient(MQTTProtocolVersion.MQTTv5, "own-live")
    client.paho.username_pw_set(*extra_login)
    client.connect(shared_house.mqtt_port)
    revoked = platform.delete(f"{credentials}/{extra['id']}")
    assert revoked.status_code == 204
    assert client.wait_for_end().value == 0x87  # at once, on the live connection
    assert publish(shared_house, extra_login, "devices/own/data", message) != 0

    # 3.1.1 has no words for it and is acknowledged, 5.0 is told; both are kept and shown.
    assert publish(shared_house, login, "devices/other/data", message) == 0
    five = PahoClient(MQTTProtocolVersion.MQTTv5, "own-five")
    five.paho.username_pw_set(*login)
    five.connect(shared_house.mqtt_port)
    told: queue.Queue[int] = queue.Queue()
    five.paho.on_publish = lambda _c, _u, _m, reason, _p: told.put(reason.value)
    five.paho.publish("devices/other/data", message, qos=1)
    assert told.get(timeout=WAIT_S) == 0x87
    five.disconnect()
    assert shared_house.select(
        "SELECT count(*) FROM device_readings WHERE device_id = 'other'"
    ) == [(0,)]
    refused = platform.get("/api/v1/quarantine?topic=devices/other/data").json()["items"]
    assert len(refused) == 2
    assert shared_house.select(
        "SELECT DISTINCT organization_id FROM quarantine WHERE topic = 'devices/other/data'"
    ) == [(1,)]
    assert "may not publish" in refused[0]["reason"]
    assert refused[0]["payload"] == message

    for words in ("wrong user name or password", "expired", "revoked"):
        assert eventually(lambda words=words: words in refusals(platform))
        assert words in shared_house.log()
    assert "devices/other/data" in shared_house.log()
    assert eventually(lambda: "PUBLISH 'devices/other/data'" in refusals(platform))
    for secret in (login.password, extra["password"], short.password):
        assert secret not in shared_house.log()


def test_a_reader_that_comes_back_gets_everything_once(shared_house: House) -> None:
    login = shared_house.register_device("ws-1", "temperature_sensor")
    client = PahoClient(MQTTProtocolVersion.MQTTv311, "ws-1")
    client.paho.username_pw_set(*login)
    client.connect(shared_house.mqtt_port)
    total = 2000

    def produce() -> None:
        for number in range(total):
            body = {
                "metric_type": "temperature",
                "value": 36,
                "n": number,
                "timestamp": 1.7e9 + number,
            }
            client.paho.publish("devices/ws-1/data", json.dumps(body), qos=1)
            if number % 40 == 0:
                time.sleep(0.01)

    with watch(shared_house, device_id="ws-1") as connection:
        producer = threading.Thread(target=produce)
        producer.start()
        seen: list[int] = []
        cursor = 0
        while len(seen) < 100:
            event = read(connection)
            cursor = event["cursor"]
            if event["type"] == "device.data.received":
                seen.append(event["n"])
    while len(seen) < total:
        with watch(shared_house, device_id="ws-1", since=cursor) as connection:
            for _ in range(300):
                if len(seen) == total:
                    break
                event = read(connection)
                assert event["cursor"] > cursor
                cursor = event["cursor"]
                if event["type"] == "device.data.received":
                    seen.append(event["n"])
    producer.join()
    client.paho.disconnect()
    assert seen == list(range(total))


def test_a_websocket_without_a_token_is_closed_with_the_reason(shared_house: House) -> None:
    url = shared_house.medical_url.replace("http", "ws", 1) + "/ws/mqtt"
    with connect(url) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.recv(WAIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert "token" in closed.value.rcvd.reason.lower()


def test_bad_messages_are_quarantined_with_their_reason(
    shared_house: House, platform: httpx.Client
) -> None:
    login = shared_house.register_device("bad-1", "weight_scale")
    bad = {
        "[1, 2]": "object",
        '{"metric_type": "weight", "value": NaN}': "not JSON",
        '{"metric_type": "weight", "value": 1e999}': "",
        '{"metric_type": 7, "value": 1}': "metric",
        '{"value": 1}': "metric_type",
        '{"metric_type": "weight", "value": 1, "timestamp": "yesterday"}': "timestamp",
        '{"metric_type": "weight", "value": 1, "device_id": "other"}': "device_id",
        '{"metric_type": "weight", "value": ' + "[" * 50_000: "nested",
        "\x00\x01": "not JSON",
        "": "not JSON",
    }
    client = PahoClient(MQTTProtocolVersion.MQTTv5, "bad-1")
    client.paho.username_pw_set(*login)
    client.connect(shared_house.mqtt_port)
    for payload in bad:
        client.paho.publish("devices/bad-1/data", payload, qos=1).wait_for_publish(WAIT_S)
    client.paho.disconnect()
    listed = platform.get("/api/v1/quarantine?topic=devices/bad-1/data&limit=100").json()["items"]
    listed.reverse()
    assert len(listed) == len(bad)
    for record, words in zip(listed, bad.values(), strict=True):
        assert words in record["reason"], record["reason"]
        assert record["reason_code"] >= 0x80
    unknown = {"metric_type": "weight", "value": 1}
    subprocess.run(
        ["mosquitto_pub", "-p", str(shared_house.mqtt_port), "-q", "1", "-t",
         "devices/nobody/data", "-m", json.dumps(unknown)],
        check=True, timeout=WAIT_S,
    )  # fmt: skip
    [record] = platform.get("/api/v1/quarantine?topic=devices/nobody/data").json()["items"]
    assert "not registered" in record["reason"]


def rss_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def attack(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as peer:
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except OSError:
            pass  # closed in our face, as it should be


def test_hostile_bytes_harm_nobody_and_memory_stays_flat(house: House) -> None:
    login = house.register_device("victim", "weight_scale")
    victim = PahoClient(MQTTProtocolVersion.MQTTv311, "victim")
    victim.paho.username_pw_set(*login)
    victim.connect(house.mqtt_port)
    connect_bytes = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"
    ten_megabytes = b"\x30\x80\x80\x80\x05\x00\x01a" + bytes(10 * 1024 * 1024)
    attacks = [
        b"\x10\xff\xff\xff\x7f" + bytes(100_000),
        b"\x30\xff\xff\xff\x7f" + bytes(100_000),
        connect_bytes + b"\x30\xff\xff\xff\x7f" + bytes(1_000_000),
        connect_bytes + ten_megabytes,
        connect_bytes + b"\x30\x04\x00\x02\xff\xfe",
        connect_bytes + b"\x30\x05\x00\x03a/#x",
        connect_bytes[:-3],
        b"GET / HTTP/1.1\r\n\r\n",
    ]
    dice = os.urandom
    before = 0
    for turn in range(60):
        for data in attacks:
            attack(house.mqtt_port, data)
        attack(house.mqtt_port, dice(5000))
        attack(house.mqtt_port, connect_bytes + dice(5000))
        attack(house.mqtt_ws_port, dice(2000))
        if turn == 10:
            before = rss_kb(house.pid)
    assert rss_kb(house.pid) - before < 12_000
    info = victim.paho.publish("devices/victim/data", '{"metric_type":"weight","value":70}', qos=1)
    info.wait_for_publish(WAIT_S)
    assert house.select("SELECT count(*) FROM device_readings") == [(1,)]
    assert "Traceback" not in house.log()
    victim.paho.disconnect()


def test_sigterm_drains_and_a_second_start_keeps_everything(house: House) -> None:
    login = house.register_device("drain", "temperature_sensor")
    device = PahoClient(MQTTProtocolVersion.MQTTv5, "drain")
    device.paho.username_pw_set(*login)
    device.connect(house.mqtt_port)
    acknowledged: list[int] = []
    device.paho.on_publish = lambda _c, _u, mid, _r, _p: acknowledged.append(mid)
    for number in range(2000):
        body = {"metric_type": "temperature", "value": number / 100}
        device.paho.publish("devices/drain/data", json.dumps(body), qos=1)
    house.stop()
    assert device.wait_for_end().value == 0x8B  # server shutting down
    [(rows,)] = house.select("SELECT count(*) FROM device_readings")
    assert rows >= len(acknowledged) > 0
    administrator = house.administrator
    begun = time.monotonic()
    house.start()
    assert time.monotonic() - begun < 5
    assert house.administrator == administrator  # none was made anew
    assert house.select("SELECT count(*) FROM device_readings") == [(rows,)]
    assert httpx.get(f"{house.medical_url}/health").json()["connected"] is True
