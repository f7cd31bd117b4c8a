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


def test_properties_of_mqtt_5_pass_from_publisher_to_subscriber(shared_house: House) -> None:
    topic = "properties/mosquitto"
    words = ["-V", "mqttv5", "-q", "1", "-r", "-t", topic, "-m", "hello"]
    for name, *values in (
        ("payload-format-indicator", "1"),
        ("message-expiry-interval", "3600"),
        ("content-type", "text/plain"),
        ("response-topic", "properties/answer"),
        ("correlation-data", "c-1"),
        ("user-property", "b", "1"),
        ("user-property", "a", "2"),
        ("user-property", "b", "3"),
    ):
        words += ["-D", "publish", name, *values]
    sent = run(shared_house, "mosquitto_pub", *words)
    assert (sent.returncode, sent.stderr) == (0, "")
    words = ["-V", "mqttv5", "-q", "1", "-t", topic, "-C", "1", "-W", "10"]
    words += ["-D", "subscribe", "subscription-identifier", "7"]
    received = run(shared_house, "mosquitto_sub", *words, "-F", "%t|%q|%r|%F|%C|%R|%D|%S|%P|%E|%p")
    assert received.returncode == 0, received.stderr
    *fields, expiry, payload = received.stdout.rstrip("\n").split("|")
    assert fields == [
        topic, "1", "1", "1", "text/plain", "properties/answer", "c-1", "7", "b:1 a:2 b:3",
    ]  # fmt: skip
    assert 3590 <= int(expiry) <= 3600
    assert payload == "hello"


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_a_persistent_session_hears_what_came_between(shared_house: House, version: str) -> None:
    words = ["-V", version, "-i", f"kept-{version}", "-c", "-q", "1", "-t", f"kept/{version}"]
    if version == "mqttv5":
        words += ["-x", "3600"]
    subscribed = run(shared_house, "mosquitto_sub", *words, "-E")  # subscribes and ends
    assert (subscribed.returncode, subscribed.stderr) == (0, "")
    for number in range(3):
        run(shared_house, "mosquitto_pub", "-q", "1", "-t", f"kept/{version}", "-m", str(number))
    received = run(shared_house, "mosquitto_sub", *words, "-C", "3", "-W", "10")
    assert (received.returncode, received.stdout) == (0, "0\n1\n2\n")
