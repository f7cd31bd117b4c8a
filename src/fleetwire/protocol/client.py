"""ClientProtocol: the client's side of a Session, over as many Network Connections as it takes.

Theory of operation. The owner opens a transport, writes `connect_bytes()`, hands what comes to
`receive` and writes what `take_output` then holds. What is left of an exchange when the transport
is lost stays here, and goes out again after the next CONNACK. For each message published with QoS 1
or 2, `receive` returns exactly one Ack that ends it: PUBACK, PUBCOMP, or PUBREC with an error.

A received QoS 2 message is returned once. With `manual_ack` its acknowledgement waits for
`acknowledge`, and acknowledgements leave in the order in which the messages came, whatever the
order of those calls [MQTT-4.6.0-2].

Does not: keep time (Keep Alive is the owner's), reconnect, use Topic Aliases, survive the process.
"""

from typing import Final

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import (
    encode_connect,
    encode_puback,
    encode_pubcomp,
    encode_publish,
    encode_pubrec,
    encode_pubrel,
    encode_subscribe,
    encode_unsubscribe,
)
from fleetwire.protocol.errors import (
    NotConnectedError,
    PacketTooLargeError,
    ProtocolError,
    ReceiveMaximumExceededError,
    TopicAliasInvalidError,
)
from fleetwire.protocol.inflight import PacketIds
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscription,
    Unsuback,
)
from fleetwire.protocol.topics import check_topic_filter, check_topic_name

DISCONNECTED: Final = 0
AWAIT_CONNACK: Final = 1
CONNECTED: Final = 2

_NOT_YET: Final = -1  # no reason code: the owner has not acknowledged


class ClientProtocol:
    """One client's Session and its present connection.

    `connect` says who we are and how; its client id becomes the one the server assigns.
    `keep_alive` is in seconds and may be set by CONNACK. `error` says what the server did wrong;
    the transport is then to be closed.
    """

    def __init__(
        self, connect: Connect, *, maximum_packet_size: int = 1_048_576, manual_ack: bool = False
    ) -> None:
        self.connect = connect
        self.version = connect.protocol_version
        self.keep_alive = connect.keep_alive
        self.state: int = DISCONNECTED
        self.error: ProtocolError | None = None
        self._manual_ack = manual_ack
        self._maximum_packet_size = maximum_packet_size
        self._decoder = Decoder(maximum_packet_size, version=self.version, is_server=False)
        self._packet_ids = PacketIds()
        # By packet id, in the order sent; None from PUBREC on, when only the id counts.
        self._outgoing: dict[int, Publish | None] = {}
        self._asked: set[int] = set()  # of SUBSCRIBE and UNSUBSCRIBE
        self._received: set[int] = set()  # QoS 2, between PUBLISH and PUBREL
        self._unacknowledged: dict[int, Publish] = {}  # in the order received
        self._codes: dict[int, int] = {}  # of the same, _NOT_YET or the owner's reason code
        self._output: list[bytes] = []
        self._server_receive_maximum: int = c.LARGEST_RECEIVE_MAXIMUM
        self._server_packet_size: int = c.LARGEST_REMAINING_LENGTH + 5
        self._server_maximum_qos = 2
        self._server_retains = True

    @property
    def window(self) -> int:
        """How many more messages with QoS 1 or 2 the server takes before it acknowledges one."""
        return max(0, self._server_receive_maximum - len(self._outgoing))

    def connect_bytes(self) -> bytes:
        """Return what a new Network Connection begins with."""
        self.connection_lost()
        self._decoder = Decoder(self._maximum_packet_size, version=self.version, is_server=False)
        self.error = None
        self.state = AWAIT_CONNACK
        return encode_connect(self.connect)

    def connection_lost(self) -> None:
        """Note that the transport is gone."""
        self.state = DISCONNECTED
        self._output.clear()
        for packet_id in list(self._asked):  # they will not be answered any more
            self._release_asked(packet_id)
        for packet_id in list(self._unacknowledged):
            if packet_id not in self._received:  # QoS 1: the server sends it again
                del self._unacknowledged[packet_id]
                del self._codes[packet_id]

    def take_output(self) -> bytes:
        """Return the bytes to write now, once."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    # --- outgoing ---

    def publish(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> tuple[int, bytes]:
        """Return (packet id, bytes to write); the id is 0 with QoS 0.

        Raises NotConnectedError, InvalidTopicError, PacketTooLargeError, ProtocolError for what
        the server said it does not support, and ReceiveMaximumExceededError while `window` is 0.
        """
        self._check_connected()
        check_topic_name(topic_name)
        if qos > self._server_maximum_qos:
            # [MQTT-3.2.2-11]
            raise ProtocolError(f"The server takes messages up to QoS {self._server_maximum_qos}")
        if retain and not self._server_retains:
            # [MQTT-3.2.2-14]
            raise ProtocolError("The server does not keep retained messages")
        packet_id = 0
        if qos:
            if self.window == 0:
                raise ReceiveMaximumExceededError(
                    f"{len(self._outgoing)} messages wait for the server's acknowledgement"
                )
            packet_id = self._packet_ids.allocate()
        try:
            data = encode_publish(
                topic_name, payload, qos, retain, False, packet_id, properties, self.version
            )
            if len(data) > self._server_packet_size:
                # [MQTT-3.2.2-15]
                raise PacketTooLargeError(
                    f"The message makes a packet of {len(data)} bytes; the server takes "
                    f"{self._server_packet_size}"
                )
        except ProtocolError:
            self._packet_ids.release(packet_id)
            raise
        if qos:
            self._outgoing[packet_id] = Publish(
                topic_name, payload, qos, retain, True, packet_id, properties
            )
        return packet_id, data

    def subscribe(
        self, subscriptions: list[Subscription], properties: Properties | None = None
    ) -> tuple[int, bytes]:
        """Return (packet id, bytes to write); the SUBACK with this id answers it."""
        self._check_connected()
        for subscription in subscriptions:
            check_topic_filter(subscription.topic_filter)
        packet_id = self._packet_ids.allocate()
        self._asked.add(packet_id)
        try:
            data = encode_subscribe(packet_id, subscriptions, properties, self.version)
        except ProtocolError:
            self._release_asked(packet_id)
            raise
        return packet_id, data

    def unsubscribe(
        self, topic_filters: list[str], properties: Properties | None = None
    ) -> tuple[int, bytes]:
        """Return (packet id, bytes to write); the UNSUBACK with this id answers it."""
        self._check_connected()
        packet_id = self._packet_ids.allocate()
        self._asked.add(packet_id)
        try:
            data = encode_unsubscribe(packet_id, topic_filters, properties, self.version)
        except ProtocolError:
            self._release_asked(packet_id)
            raise
        return packet_id, data

    def _release_asked(self, packet_id: int) -> None:
        self._asked.discard(packet_id)
        self._packet_ids.release(packet_id)

    def acknowledge(self, publish: Publish, reason_code: int = 0) -> None:
        """Let the acknowledgement of a received message leave, in its turn, by `take_output`.

        Does nothing for a message whose connection is gone: it comes again.
        """
        packet_id = publish.packet_id
        if self._unacknowledged.get(packet_id) is publish:
            self._codes[packet_id] = reason_code
            self._answer()

    def _check_connected(self) -> None:
        if self.state != CONNECTED:
            raise NotConnectedError("The client is not connected")

    def _answer(self) -> None:
        while self.state == CONNECTED and self._unacknowledged:
            packet_id = next(iter(self._unacknowledged))
            code = self._codes[packet_id]
            if code == _NOT_YET:
                return
            del self._codes[packet_id]
            if self._unacknowledged.pop(packet_id).qos == 1:
                self._output.append(encode_puback(packet_id, code, self.version))
                continue
            if code >= c.UNSPECIFIED_ERROR and self.version == c.V5:
                self._received.discard(packet_id)  # an error ends the exchange (§4.3.3)
            self._output.append(encode_pubrec(packet_id, code, self.version))

    # --- incoming ---

    def receive(self, chunk: bytes) -> list[Packet]:
        """Return what concerns the owner, in order; see `error` and `take_output`.

        That is CONNACK, each message once, each Ack that ends an exchange, SUBACK, UNSUBACK,
        PINGRESP, DISCONNECT and AUTH.
        """
        passed: list[Packet] = []
        if self.state == DISCONNECTED:
            return passed
        try:
            for packet in self._decoder.feed(chunk):
                if self._pass(packet):
                    passed.append(packet)
                if self.state == DISCONNECTED:
                    return passed
            self.error = self._decoder.error
        except ProtocolError as error:
            self.error = error
        if self.error is not None:
            self.connection_lost()
        return passed

    def _pass(self, packet: Packet) -> bool:
        """Carry out a packet; return whether the owner is to see it."""
        if isinstance(packet, Connack):
            if self.state != AWAIT_CONNACK:
                raise ProtocolError("CONNACK came a second time")
            self._connected(packet)
            return True
        if self.state == AWAIT_CONNACK and packet.type != c.AUTH:
            raise ProtocolError("The server's first packet is not CONNACK")  # [MQTT-3.2.0-1]
        if isinstance(packet, Publish):
            return self._take_message(packet)
        if isinstance(packet, Ack):
            return self._take_ack(packet)
        if isinstance(packet, (Suback, Unsuback)):
            if packet.packet_id not in self._asked:
                return False
            self._release_asked(packet.packet_id)
        elif isinstance(packet, Disconnect):
            self.connection_lost()
        return True

    def _connected(self, connack: Connack) -> None:
        if connack.reason_code != c.SUCCESS:
            self.connection_lost()
            return
        self.state = CONNECTED
        properties = connack.properties or {}
        assigned = properties.get(c.ASSIGNED_CLIENT_IDENTIFIER)
        if isinstance(assigned, str):
            self.connect.client_id = assigned
        keep_alive = properties.get(c.SERVER_KEEP_ALIVE, self.connect.keep_alive)
        maximum = properties.get(c.RECEIVE_MAXIMUM, c.LARGEST_RECEIVE_MAXIMUM)
        size = properties.get(c.MAXIMUM_PACKET_SIZE, c.LARGEST_REMAINING_LENGTH + 5)
        assert isinstance(keep_alive, int)
        assert isinstance(maximum, int)
        assert isinstance(size, int)
        self.keep_alive = keep_alive  # [MQTT-3.1.2-21]
        self._server_receive_maximum = maximum
        self._server_packet_size = size
        maximum_qos = properties.get(c.MAXIMUM_QOS, 2)
        self._server_maximum_qos = maximum_qos if isinstance(maximum_qos, int) else 2
        self._server_retains = properties.get(c.RETAIN_AVAILABLE) != 0
        if not connack.session_present:
            # [MQTT-3.2.2-5] The server knows nothing of what it sent us before.
            self._received.clear()
            self._unacknowledged.clear()
            self._codes.clear()
        self._send_again(connack.session_present)

    def _send_again(self, session_present: bool) -> None:
        """Repeat what was not acknowledged, in its order [MQTT-4.4.0-1] [MQTT-4.6.0-1]."""
        for packet_id, publish in self._outgoing.items():
            if publish is None:
                self._output.append(encode_pubrel(packet_id, 0, self.version))
                continue
            self._output.append(
                encode_publish(
                    publish.topic_name,
                    publish.payload,
                    publish.qos,
                    publish.retain,
                    session_present,  # [MQTT-3.3.1-1] to a server that lost it, it is new
                    packet_id,
                    publish.properties,
                    self.version,
                )
            )
        self._answer()

    def _take_message(self, publish: Publish) -> bool:
        if not publish.topic_name:
            # [MQTT-3.1.2-26] We offer no Topic Alias Maximum, so there are none.
            raise TopicAliasInvalidError("The server used a Topic Alias; we allow none")
        packet_id = publish.packet_id
        if publish.qos == 0:
            return True
        if publish.qos == 2:
            if packet_id in self._received:
                # [MQTT-4.3.3-10] Known; answered again unless the owner still holds it.
                if packet_id not in self._unacknowledged:
                    self._output.append(encode_pubrec(packet_id, 0, self.version))
                return False
            self._received.add(packet_id)
        self._unacknowledged[packet_id] = publish
        self._codes[packet_id] = _NOT_YET
        if not self._manual_ack:
            self.acknowledge(publish)
        return True

    def _take_ack(self, ack: Ack) -> bool:
        packet_id = ack.packet_id
        if ack.type == c.PUBREL:
            known = packet_id in self._received
            self._received.discard(packet_id)
            code = c.SUCCESS if known else c.PACKET_IDENTIFIER_NOT_FOUND
            self._output.append(encode_pubcomp(packet_id, code, self.version))
            return False
        if ack.type == c.PUBREC and ack.reason_code < c.UNSPECIFIED_ERROR:
            code = c.SUCCESS
            if packet_id in self._outgoing:
                self._outgoing[packet_id] = None
            else:
                code = c.PACKET_IDENTIFIER_NOT_FOUND
            self._output.append(encode_pubrel(packet_id, code, self.version))
            return False
        if packet_id not in self._outgoing:
            return False
        publish = self._outgoing[packet_id]
        # PUBACK ends QoS 1, PUBREC with an error or PUBCOMP ends QoS 2; no other pair does.
        if (ack.type == c.PUBCOMP) != (publish is None):
            return False
        if publish is not None and (ack.type == c.PUBACK) != (publish.qos == 1):
            return False
        del self._outgoing[packet_id]
        self._packet_ids.release(packet_id)
        return True
