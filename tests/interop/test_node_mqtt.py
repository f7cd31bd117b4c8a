"""The npm package mqtt, releases 4 and 5, of browsers and Node, over TCP and over WebSocket."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.house import House

pytestmark = pytest.mark.needs_node

NODE_FOLDER = Path(__file__).resolve().parent.parent / "node"
RUN_TIMEOUT_S = 20


def run(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["node", script, *words],
        cwd=NODE_FOLDER,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )


@pytest.fixture(params=["4", "5"])
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["mqtt://{tcp}", "ws://{ws}", "ws://{ws}/mqtt"])
def url(request: pytest.FixtureRequest, shared_house: House) -> str:
    form = str(request.param)
    return form.format(
        tcp=f"127.0.0.1:{shared_house.mqtt_port}", ws=f"127.0.0.1:{shared_house.mqtt_ws_port}"
    )


@pytest.mark.parametrize("version", ["3", "4", "5"], ids=["3.1", "3.1.1", "5.0"])
def test_messages_of_each_qos_come_back_in_order(url: str, release: str, version: str) -> None:
    ended = run("roundtrip.mjs", release, url, version, f"node/{version}")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "granted": [2],
        "received": [
            {"topic": f"node/{version}/{qos}", "payload": f"message {qos}", "qos": qos}
            for qos in (0, 1, 2)
        ],
    }


@pytest.mark.parametrize("qos", ["1", "2"])
def test_a_device_is_acknowledged_once_its_reading_is_stored(
    shared_house: House, url: str, release: str, qos: str
) -> None:
    device_id = f"node-{release}-{qos}-{url.partition(':')[0]}-{len(url)}"
    username, password = shared_house.register_device(device_id)
    body = json.dumps({"device_id": device_id, "metric_type": "count", "value": 3})
    topic = f"devices/{device_id}/data"
    ended = run("publish.mjs", release, url, qos, topic, body, username, password)
    assert ended.returncode == 0, ended.stderr
    assert shared_house.select(
        """
        SELECT number FROM readings JOIN devices ON devices.id = readings.device
        WHERE devices.device_id = ?
        """,
        device_id,
    ) == [(3.0,)]


@pytest.mark.parametrize("scheme", ["mqtt", "ws"])
def test_properties_of_mqtt_5_come_back(shared_house: House, release: str, scheme: str) -> None:
    port = shared_house.mqtt_port if scheme == "mqtt" else shared_house.mqtt_ws_port
    topic = f"node/properties/{release}/{scheme}"
    ended = run("properties.mjs", release, f"{scheme}://127.0.0.1:{port}", topic)
    assert ended.returncode == 0, ended.stderr
    properties = json.loads(ended.stdout)
    assert 3590 <= properties.pop("messageExpiryInterval") <= 3600
    assert properties == {
        "payloadFormatIndicator": True,
        "responseTopic": f"{topic}/answer",
        "correlationData": [0, 255],
        "contentType": "text/plain",
        "subscriptionIdentifier": 7,
        "userProperties": {"name": ["first", "second"]},
    }


def test_a_wrong_password_is_refused(url: str, release: str) -> None:
    ended = run("publish.mjs", release, url, "1", "devices/x/data", "{}", "x", "wrong")
    assert ended.returncode == 1
    assert "refused" in ended.stderr.lower()
