"""Senders: devices of the apps whose messages tell whether a connection is alive."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.house import House, Login

WAIT_S = 10.0


class Saying(NamedTuple):
    """What a device of an app publishes, from 1 on, and each time something else."""

    type: str
    topic: str
    body: Callable[[int], dict[str, Any]]


SAYINGS = {
    "farm": Saying(
        "sensor",
        "devices/{}/datastream",
        lambda number: {"value": number, "variableName": "n"},
    ),
    "medical": Saying(
        "pulse_oximeter",
        "devices/{}/data",
        lambda number: {"metric_type": "n", "value": number, "timestamp": number},
    ),
    "tablets": Saying("tablet", "tablet/{}/status", lambda number: {"battery": number % 100}),
    "vending": Saying(
        "vending_machine", "vm/{}/telemetry", lambda number: {"rssi": -(number % 100)}
    ),
}


class Sender:
    """A device of an app whose messages tell whether a connection is alive."""

    def __init__(self, house: House, app: str, device_id: str) -> None:
        self.app = app
        self.device_id = device_id
        self._saying = SAYINGS[app]
        self.topic = self._saying.topic.format(device_id)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device_id)
        self._client.username_pw_set(*self._registered(house))
        self._client.connect("127.0.0.1", house.mqtt_port)
        self._client.loop_start()
        self._number = 0

    def measure(self) -> None:
        """Publish what follows from the last time; return once it is stored."""
        self._number += 1
        body = self._saying.body(self._number) | {"device_id": self.device_id}
        self._client.publish(self.topic, json.dumps(body), qos=1).wait_for_publish(WAIT_S)

    def _registered(self, house: House) -> Login:
        device = {"app": self.app, "device_id": self.device_id, "type": self._saying.type}
        answer = house.http(house.url).post("/api/v1/devices", json=device)
        assert answer.status_code == 201, answer.text
        credential = answer.json()["credential"]
        return Login(credential["username"], credential["password"])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
