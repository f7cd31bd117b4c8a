"""A paho client that tests can wait for: each wait ends after a bounded time, with an answer."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

WAIT_S = 10.0
SILENCE_S = 0.3  # how long nothing must come before a test believes that nothing will


class PahoClient:
    """paho-mqtt over one connection, in one of the three protocol versions."""

    def __init__(
        self,
        protocol: MQTTProtocolVersion,
        client_id: str,
        *,
        clean: bool = True,
        transport: Any = "tcp",
    ) -> None:
        self._protocol = protocol
        self._clean = clean
        self._v5 = protocol == MQTTProtocolVersion.MQTTv5
        self.paho = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            # Version 5 says this in connect() instead.
            clean_session=None if self._v5 else clean,
            protocol=protocol,
            transport=transport,
            reconnect_on_failure=False,
        )
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self._connected: queue.Queue[tuple[bool, ReasonCode]] = queue.Queue()
        self._subscribed: queue.Queue[list[ReasonCode]] = queue.Queue()
        self._unsubscribed: queue.Queue[None] = queue.Queue()
        self._disconnected: queue.Queue[ReasonCode] = queue.Queue()
        self.paho.on_connect = lambda _c, _u, flags, reason, _p: self._connected.put(
            (flags.session_present, reason)
        )
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self._subscribed.put(reasons)
        self.paho.on_unsubscribe = lambda _c, _u, _m, _r, _p: self._unsubscribed.put(None)
        self.paho.on_disconnect = lambda _c, _u, _f, reason, _p: self._disconnected.put(reason)

    def connect(self, port: int, keep_alive_s: int = 60) -> tuple[bool, ReasonCode]:
        """Connect; return (session present, reason) of the CONNACK."""
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
            properties.SessionExpiryInterval = 0 if self._clean else 60
            self.paho.connect(
                "127.0.0.1",
                port,
                keep_alive_s,
                clean_start=self._clean,
                properties=properties,
            )
        else:
            self.paho.connect("127.0.0.1", port, keep_alive_s)
        self.paho.loop_start()
        return self._connected.get(timeout=WAIT_S)

    def ask_for(self, topic_filter: str, qos: int) -> int:
        """Subscribe; return what the server grants: a QoS, or the code of its refusal."""
        self.paho.subscribe(topic_filter, qos)
        return self.wait_until_subscribed()

    def wait_until_subscribed(self) -> int:
        """Wait for the answer to a subscription to one filter; return as `ask_for`."""
        (granted,) = self._subscribed.get(timeout=WAIT_S)
        return int(granted.value)

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe and wait until it is granted with this QoS."""
        granted = self.ask_for(topic_filter, qos)
        assert granted == qos, f"SUBACK says {granted:#x}"

    def unsubscribe(self, topic_filter: str) -> None:
        """Unsubscribe and wait for the answer."""
        self.paho.unsubscribe(topic_filter)
        self._unsubscribed.get(timeout=WAIT_S)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        """Publish and wait until the server has taken it over (QoS 0: until it is written)."""
        sent = self.paho.publish(topic, payload, qos, retain)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published(), "the message was never acknowledged"

    def receive(self) -> mqtt.MQTTMessage:
        """Return the next message."""
        return self.messages.get(timeout=WAIT_S)

    def receives_nothing(self) -> bool:
        """Say whether a while passes without a message."""
        try:
            self.messages.get(timeout=SILENCE_S)
        except queue.Empty:
            return True
        return False

    def wait_for_end(self) -> ReasonCode:
        """Wait until the server has closed the connection; return its reason."""
        return self._disconnected.get(timeout=WAIT_S)

    def lose_connection(self) -> None:
        """Close the socket without a DISCONNECT, as a device out of reach does."""
        self.paho.loop_stop()
        connection = self.paho.socket()
        assert connection is not None
        connection.close()

    def disconnect(self) -> None:
        """Say goodbye and end."""
        self.paho.disconnect()
        self.paho.loop_stop()


@contextmanager
def connected(
    port: int, protocol: MQTTProtocolVersion, client_id: str, **options: Any
) -> Iterator[PahoClient]:
    """A client that is connected within the block."""
    client = PahoClient(protocol, client_id, **options)
    _, reason = client.connect(port)
    assert reason == 0, reason
    try:
        yield client
    finally:
        client.disconnect()
