"""mosquitto_pub and mosquitto_sub, what a person tries first."""

import json
import subprocess

import pytest

from tests.house import House

pytestmark = pytest.mark.needs_mosquitto

RUN_TIMEOUT_S = 15
VERSIONS = ["mqttv31", "mqttv311", "mqttv5"]


def run(house: House, program: str, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [program, "-h", "127.0.0.1", "-p", str(house.mqtt_port), *words],
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_publish_without_a_password_on_loopback(
    shared_house: House, version: str, qos: str
) -> None:
    topic = f"first/try/{version}/{qos}"
    sent = run(
        shared_house, "mosquitto_pub", "-V", version, "-q", qos, "-r", "-t", topic, "-m", "hello"
    )
    assert (sent.returncode, sent.stderr) == (0, "")
    words = ["-V", version, "-q", qos, "-t", topic, "-C", "1", "-W", "10", "-v"]
    received = run(shared_house, "mosquitto_sub", *words)
    assert (received.returncode, received.stdout) == (0, f"{topic} hello\n")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_live_subscriber_hears_a_message(shared_house: House, version: str) -> None:
    topic = f"live/{version}"
    port = str(shared_house.mqtt_port)
    words = ["-V", version, "-q", "1", "-t", "live/#", "-C", "1", "-W", "10", "-v"]
    with subprocess.Popen(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", port, *words],
        stdout=subprocess.PIPE,
        text=True,
    ) as subscriber:
        # It does not say when it has subscribed. It ends with the first message, or after -W s.
        while subscriber.poll() is None:
            run(shared_house, "mosquitto_pub", "-q", "1", "-t", topic, "-m", "now")
        assert subscriber.stdout is not None
        assert subscriber.stdout.read() == f"{topic} now\n"


def test_a_registered_device_publishes_with_its_credential(shared_house: House) -> None:
    username, password = shared_house.register_device("mosquitto-1")
    body = json.dumps({"device_id": "mosquitto-1", "metric_type": "count", "value": 7})
    words = ["-q", "1", "-u", username, "-P", password, "-t", "devices/mosquitto-1/data"]
    sent = run(shared_house, "mosquitto_pub", *words, "-m", body)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert shared_house.select(
        """
        SELECT number FROM readings JOIN devices ON devices.id = readings.device
        WHERE devices.device_id = 'mosquitto-1'
        """
    ) == [(7.0,)]


def test_a_wrong_password_is_refused(shared_house: House) -> None:
    shared_house.register_device("mosquitto-2")
    words = ["-u", "mosquitto-2", "-P", "wrong", "-t", "devices/mosquitto-2/data", "-m", "{}"]
    refused = run(shared_house, "mosquitto_pub", *words)
    assert refused.returncode != 0
    assert "refused" in refused.stderr.lower()
