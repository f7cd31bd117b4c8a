"""A tablet as the field has them: Paho, MQTT 3.1.1, cleanSession=false, a Will."""

import json
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion

from tests.apps.tablets.house import WAIT_S
from tests.house import House, Login
from tests.interop.paho_client import PahoClient

STATUS = {"battery": 73, "wifiStatus": True, "uptime": 7_200_000, "bootTime": 1_769_853_600_000}
WILL = {"battery": 0, "wifiStatus": False, "uptime": 0, "bootTime": 0, "isCharging": False}


class Tablet:
    """One tablet; `login` None = without credentials, as the field's are."""

    def __init__(
        self,
        house: House,
        id: str,
        login: Login | None = None,
        *,
        keep_alive_s: int = 60,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311,
    ) -> None:
        self.id = id
        self._keep_alive_s = keep_alive_s
        self._house = house
        self._login = login
        self._protocol = protocol
        self._client: PahoClient

    def _new(self) -> PahoClient:
        client = PahoClient(self._protocol, f"ontrak_tablet_{self.id}", clean=False)
        client.paho.will_set(f"tablet/{self.id}/status", json.dumps(WILL), qos=1, retain=False)
        if self._login is not None:
            client.paho.username_pw_set(*self._login)
        return client

    def wake(self) -> None:
        """Connect again and subscribe, as Paho's users do each time."""
        self._client = self._new()
        self._client.connect(self._house.mqtt_port, self._keep_alive_s)
        self._client.subscribe(f"tablet/{self.id}/command", 1)

    def say(self, topic: str, body: dict[str, Any]) -> None:
        """Publish and wait for the PUBACK."""
        self._client.publish(f"tablet/{self.id}/{topic}", json.dumps(body).encode(), 1)

    def try_to_publish(self, topic: str, body: dict[str, Any]) -> None:
        """Publish on any topic, without waiting: what is refused is acknowledged, or ends it."""
        self._client.paho.publish(topic, json.dumps(body), qos=1)

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

    def freeze(self) -> None:
        """Send nothing any more, while the connection looks open."""
        self._client.paho.loop_stop()

    def hears_nothing(self) -> bool:
        """Say whether no command comes for a while."""
        return self._client.receives_nothing()


def shown(api: Any, code: str) -> dict[str, Any]:
    data: dict[str, Any] = api.get(f"/api/device/{code}").json()["data"]
    return data


def registered(api: Any, code: str) -> Login:
    answer = api.post("/api/device", json={"deviceCode": code})
    mqtt = answer.json()["data"]["mqtt"]
    return Login(mqtt["username"], mqtt["password"])
