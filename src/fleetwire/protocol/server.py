"""ServerProtocol: what the server's side of one Network Connection may receive, and when.

    bytes -> Decoder -> order of packets, Topic Alias, Receive Maximum -> legal packets

Does not: write anything, decide who may do what, know sessions. A packet that it returns is legal
on the wire; what it means is the broker's.
"""

from typing import Final

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.errors import (
    ProtocolError,
    ReceiveMaximumExceededError,
    TopicAliasInvalidError,
)
from fleetwire.protocol.packets import Ack, Auth, Connect, Disconnect, Packet, Publish

AWAIT_CONNECT: Final = 0
CONNECTED: Final = 1  # CONNECT has come; whether it is accepted is not decided here
CLOSED: Final = 2  # by a DISCONNECT, or by an error

TOPIC_ALIASES: Final = 16  # per connection; each one keeps a Topic Name of up to 64 kB alive


class ServerProtocol:
    """The rules for what one client sends.

    `receive_maximum` and `topic_alias_maximum` are what CONNACK tells an MQTT 5 client; the owner
    may change them before that. `connect_packet_size` bounds the CONNECT in bytes,
    `maximum_packet_size` each packet after it. After a violation `error` says what it was, and
    nothing is returned any more.
    """

    __slots__ = (
        "_aliases",
        "_decoder",
        "_unacknowledged",
        "connect",
        "error",
        "only_publishes",
        "receive_maximum",
        "state",
        "topic_alias_maximum",
    )

    def __init__(self, maximum_packet_size: int, connect_packet_size: int) -> None:
        self._decoder = Decoder(maximum_packet_size, connect_packet_size=connect_packet_size)
        self._aliases: dict[int, str] = {}
        self._unacknowledged = 0  # PUBLISH packets with QoS 1 or 2, MQTT 5 only
        self.connect: Connect | None = None
        self.error: ProtocolError | None = None
        self.only_publishes = False  # nothing else was in the packets returned last
        self.receive_maximum: int = c.LARGEST_RECEIVE_MAXIMUM
        self.state: int = AWAIT_CONNECT
        self.topic_alias_maximum: int = TOPIC_ALIASES

    @property
    def version(self) -> int:
        """The protocol version of CONNECT, 0 before it."""
        return self._decoder.version

    @property
    def buffered_bytes(self) -> int:
        """The bytes kept of a packet that is not complete."""
        return self._decoder.buffered_bytes

    def receive(self, chunk: bytes) -> list[Packet]:
        """Return the legal packets that this chunk completes, in order; see `error`."""
        if self.state == CLOSED:
            return []
        decoder = self._decoder
        packets = decoder.feed(chunk)
        is_v5 = decoder.version == c.V5
        self.only_publishes = decoder.only_publishes
        if self.only_publishes and not is_v5:
            # The everyday case below MQTT 5: nothing to judge, packet by packet.
            if decoder.error is not None:
                self.error = decoder.error
                self.state = CLOSED
            return packets
        with_qos = 0
        index = 0
        try:
            for packet in packets:
                if isinstance(packet, Publish):
                    if is_v5:
                        if packet.qos:
                            with_qos += 1
                        if packet.properties is not None:
                            self._resolve_alias(packet)
                elif not isinstance(packet, Ack):
                    self._pass(packet)
                    if self.state == CLOSED:
                        # What follows a DISCONNECT is nothing (MQTT 5.0 §3.14.4).
                        return packets[: index + 1]
                index += 1
        except ProtocolError as error:
            self.error = error.with_traceback(None)  # its frames would keep the chunk alive
            self.state = CLOSED
            return packets[:index]
        if with_qos:
            self._unacknowledged += with_qos
            if self._unacknowledged > self.receive_maximum:
                return self._cut(packets)
        if decoder.error is not None:
            self.error = decoder.error
            self.state = CLOSED
        return packets

    def acknowledged(self, count: int = 1) -> None:
        """Note that the exchange of this many PUBLISH packets with QoS 1 or 2 has ended."""
        left = self._unacknowledged - count
        self._unacknowledged = left if left > 0 else 0

    def _pass(self, packet: Packet) -> None:
        """Judge a packet that is neither PUBLISH nor an acknowledgement."""
        if isinstance(packet, Connect):
            if self.state != AWAIT_CONNECT:
                raise ProtocolError("CONNECT came a second time")  # [MQTT-3.1.0-2]
            self.connect = packet
            self.state = CONNECTED
        elif isinstance(packet, Auth):
            connect = self.connect
            properties = connect.properties if connect is not None else None
            if properties is None or c.AUTHENTICATION_METHOD not in properties:
                # [MQTT-4.12.0-6]
                raise ProtocolError("AUTH came, but CONNECT named no Authentication Method")
        elif isinstance(packet, Disconnect):
            self.state = CLOSED

    def _resolve_alias(self, publish: Publish) -> None:
        """Put the Topic Name in its place, or remember it (§3.3.2.3.4)."""
        properties = publish.properties
        alias = properties.get(c.TOPIC_ALIAS) if properties is not None else None
        if not isinstance(alias, int):
            return
        if alias > self.topic_alias_maximum:
            # [MQTT-3.3.2-9]
            raise TopicAliasInvalidError(
                f"Topic Alias {alias} is above the maximum of {self.topic_alias_maximum}"
            )
        if publish.topic_name:
            self._aliases[alias] = publish.topic_name
            return
        topic_name = self._aliases.get(alias)
        if topic_name is None:
            raise TopicAliasInvalidError(f"Topic Alias {alias} has no Topic Name yet")
        publish.topic_name = topic_name

    def _cut(self, packets: list[Packet]) -> list[Packet]:
        """Return what came before Receive Maximum was exceeded; that ends the connection."""
        excess = self._unacknowledged - self.receive_maximum
        self.error = ReceiveMaximumExceededError(
            f"More than {self.receive_maximum} PUBLISH packets are unacknowledged"
        )
        self.state = CLOSED
        index = len(packets)
        while excess:
            index -= 1
            packet = packets[index]
            if isinstance(packet, Publish) and packet.qos:
                excess -= 1
        return packets[:index]
