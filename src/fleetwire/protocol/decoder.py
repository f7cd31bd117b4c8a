"""Decoder: from the bytes of one Network Connection to packets.

Theory of operation. One call takes one chunk as it came from the network and returns all packets
that it completes; the bytes of an incomplete one are kept, at most one packet's worth. The loop in
`feed` decodes PUBLISH and short acknowledgements itself, with everything in local variables: these
are nearly all packets there are, and each call or attribute saved on them is some percent of the
whole server. Every other packet goes to `parsers`.

A client sends to few Topic Names, mostly to the one before. So the loop first compares the bytes
with those of the last topic, then looks into a small cache from bytes to text; only a topic not in
there is decoded and checked.

Does not: know the order packets may come in (`server`, `client`), resolve Topic Aliases.
"""

from typing import Final

from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import (
    InvalidTopicError,
    MalformedPacketError,
    PacketTooLargeError,
    ProtocolError,
)
from fleetwire.protocol.packets import Ack, Connect, Packet, Publish
from fleetwire.protocol.parsers import parse_packet
from fleetwire.protocol.properties import parse_properties
from fleetwire.protocol.reader import Reader, decode_string

REMEMBERED_TOPICS: Final = 64  # a device has a few; a gateway with more pays the check again
_LONGEST_REMEMBERED: Final = 512  # bytes; keeps the cache of one connection below 64 kB or so

_FROM_CLIENT: Final = (
    1 << c.CONNECT
    | 1 << c.PUBLISH
    | 1 << c.PUBACK
    | 1 << c.PUBREC
    | 1 << c.PUBREL
    | 1 << c.PUBCOMP
    | 1 << c.SUBSCRIBE
    | 1 << c.UNSUBSCRIBE
    | 1 << c.PINGREQ
    | 1 << c.DISCONNECT
    | 1 << c.AUTH
)
_FROM_SERVER: Final = (
    1 << c.CONNACK
    | 1 << c.PUBLISH
    | 1 << c.PUBACK
    | 1 << c.PUBREC
    | 1 << c.PUBREL
    | 1 << c.PUBCOMP
    | 1 << c.SUBACK
    | 1 << c.UNSUBACK
    | 1 << c.PINGRESP
    | 1 << c.DISCONNECT
    | 1 << c.AUTH
)
_WITH_FLAGS_2: Final = 1 << c.PUBREL | 1 << c.SUBSCRIBE | 1 << c.UNSUBSCRIBE


class Decoder:
    """Decodes what one side of a connection receives.

    `maximum_packet_size` bounds a whole packet in bytes, `connect_packet_size` (0 = the same) the
    CONNECT. `version` is 0 on the server's side until CONNECT names it; a client gives it. The
    owner may change `maximum_packet_size` and `version` between two calls of `feed`.

    `only_publishes` says of the last call of `feed` that it returned nothing but PUBLISH packets.
    After a bad packet `error` says what was wrong, and nothing is decoded any more.
    """

    __slots__ = (
        "_allowed",
        "_held",
        "_is_server",
        "_needed",
        "_topic",
        "_topic_bytes",
        "_topics",
        "connect_packet_size",
        "error",
        "maximum_packet_size",
        "only_publishes",
        "version",
    )

    def __init__(
        self,
        maximum_packet_size: int,
        *,
        version: int = 0,
        is_server: bool = True,
        connect_packet_size: int = 0,
    ) -> None:
        self.maximum_packet_size = maximum_packet_size
        self.connect_packet_size = connect_packet_size or maximum_packet_size
        self.version = version
        self.error: ProtocolError | None = None
        self.only_publishes = False
        self._is_server = is_server
        self._allowed: int = _FROM_CLIENT if is_server else _FROM_SERVER
        self._held = bytearray()  # the bytes of an incomplete packet
        self._needed = 0  # how many bytes must be held before decoding goes on
        self._topics: dict[bytes, str] = {}  # encoded with their length, valid as Topic Names
        self._topic_bytes = b"\0\0"
        self._topic = ""

    @property
    def buffered_bytes(self) -> int:
        """The bytes kept of a packet that is not complete."""
        return len(self._held)

    def feed(self, chunk: bytes) -> list[Packet]:
        """Return the packets that this chunk completes, in order; see `error`."""
        packets: list[Packet] = []
        self.only_publishes = self.version != 0
        if self.error is not None:
            return packets
        held = self._held
        if held:
            # Joined only when the packet can be complete: many small chunks cost what they weigh.
            held += chunk
            if len(held) < self._needed:
                return packets
            chunk = bytes(held)
            held.clear()
        try:
            pos = 0
            if self.version == 0:
                pos = self._take_connect(chunk, packets)
            if self.version:
                pos = self._take(chunk, pos, packets)
        except ProtocolError as error:
            # Without its traceback, whose frames would keep the chunk alive.
            self.error = error.with_traceback(None)
        else:
            if pos < len(chunk):
                held += chunk[pos:] if pos else chunk
        return packets

    def _take(self, chunk: bytes, pos: int, packets: list[Packet]) -> int:
        """Decode from `pos` on; return where the incomplete packet begins."""
        size = len(chunk)
        limit = self.maximum_packet_size
        is_v5 = self.version == c.V5
        topics = self._topics
        topic = self._topic
        topic_bytes = self._topic_bytes
        topic_size = len(topic_bytes)
        append = packets.append
        publish_first = -1  # the first byte of the last PUBLISH, whose flags these are:
        qos = 0
        retain = False
        dup = False
        packet_id = 0
        # In a chunk that is not larger than the limit no whole packet is.
        is_limited = size - pos > limit
        last = size - 1
        while pos < last:
            first = chunk[pos]
            remaining = chunk[pos + 1]
            begin = pos + 2
            if remaining > 127:
                second = chunk[begin] if begin < size else 0
                if 0 < second < 128:
                    remaining += (second << 7) - 128
                    begin += 1
                else:
                    remaining, begin = _remaining_length(chunk, pos + 1)
                    if begin == 0:
                        break
            end = begin + remaining
            if end > size or (is_limited and end - pos > limit):
                break
            if first != publish_first:
                if first >> 4 != 3:
                    self.only_publishes = False
                    if remaining == 2 and (
                        first == 0x40 or first == 0x62 or first == 0x50 or first == 0x70
                    ):
                        packet_id = (chunk[begin] << 8) | chunk[begin + 1]
                        if packet_id == 0:
                            raise MalformedPacketError("Packet Identifier is 0")  # [MQTT-2.2.1-3]
                        append(Ack(first >> 4, packet_id, 0, None))
                    else:
                        self._check_first(first)
                        append(parse_packet(first, Reader(chunk, begin, end), self.version))
                    pos = end
                    continue
                self._check_first(first)
                publish_first = first
                qos = (first >> 1) & 3
                retain = first & 1 == 1
                dup = qos > 0 and first & 8 == 8  # with QoS 0, 3.1 lets it pass and means nothing
            after = begin + topic_size
            if chunk[begin:after] != topic_bytes:
                if remaining < 2:
                    raise MalformedPacketError("PUBLISH has no Topic Name")
                after = begin + 2 + ((chunk[begin] << 8) | chunk[begin + 1])
                if after > end:
                    raise MalformedPacketError("The Topic Name runs past the end of PUBLISH")
                topic_bytes = chunk[begin:after]
                topic_size = after - begin
                known = topics.get(topic_bytes)
                topic = self._learn(topic_bytes) if known is None else known
                self._topic_bytes = topic_bytes
                self._topic = topic
            if qos:
                pos = after + 2
                if pos > end:
                    raise MalformedPacketError("PUBLISH is too short for its fields")
                packet_id = (chunk[after] << 8) | chunk[after + 1]
                if packet_id == 0:
                    raise MalformedPacketError("Packet Identifier is 0")  # [MQTT-2.2.1-3]
            else:
                pos = after
                packet_id = 0
            if is_v5:
                if pos < end and chunk[pos] == 0 and topic:
                    pos += 1
                else:
                    append(self._with_properties(chunk, pos, end, first, topic, packet_id))
                    pos = end
                    continue
            elif pos > end or not topic:
                raise MalformedPacketError("PUBLISH has no Topic Name, or one past its end")
            append(Publish(topic, chunk[pos:end], qos, retain, dup, packet_id, None))
            pos = end
        if pos < size:
            self._check_incomplete(chunk, pos, limit)
        return pos

    def _check_first(self, first: int) -> None:
        """Check packet type and flags of a first byte (§2.1.2, §2.1.3)."""
        packet_type = first >> 4
        flags = first & 15
        if not (self._allowed >> packet_type) & 1:
            raise ProtocolError(f"Packet type {packet_type} is not one this side may receive")
        if packet_type == c.PUBLISH:
            if flags & 6 == 6:
                raise MalformedPacketError("PUBLISH has QoS 3")  # [MQTT-3.3.1-4]
            # 3.1 has no such rule.
            if flags & 14 == 8 and self.version != c.V31:
                raise MalformedPacketError("PUBLISH has DUP with QoS 0")  # [MQTT-3.3.1-2]
            return
        if packet_type == c.AUTH and self.version != c.V5:
            raise MalformedPacketError("Packet type 15 exists in MQTT 5 only")
        expected = 2 if (_WITH_FLAGS_2 >> packet_type) & 1 else 0
        # 3.1 set DUP on what was sent again and gave the other flags no meaning (3.1 §2.1).
        if flags != expected and self.version != c.V31:
            raise MalformedPacketError(  # [MQTT-2.1.3-1]
                f"Packet type {packet_type} has flags {flags}, not {expected}"
            )

    def _check_incomplete(self, chunk: bytes, pos: int, limit: int) -> None:
        """Refuse now what can be seen of an incomplete packet; note how many bytes it needs."""
        first = chunk[pos]
        if self.version == 0 and first >> 4 != c.CONNECT:
            raise ProtocolError("The first packet is not CONNECT")  # [MQTT-3.1.0-1]
        self._check_first(first)
        if pos + 1 == len(chunk):
            self._needed = 2
            return
        remaining, begin = _remaining_length(chunk, pos + 1)
        if begin == 0:
            self._needed = len(chunk) - pos + 1
            return
        self._needed = begin - pos + remaining
        if self._needed > limit:
            # Here and not when it is complete: what is too large is never kept.
            raise PacketTooLargeError(
                f"A packet of {self._needed} bytes came; {limit} are accepted"
            )

    def _take_connect(self, chunk: bytes, packets: list[Packet]) -> int:
        """Decode the CONNECT that a connection begins with; return where it ends, or 0."""
        if not chunk:
            return 0
        self._check_incomplete(chunk, 0, self.connect_packet_size)
        end = self._needed
        if end > len(chunk):
            return 0
        _, begin = _remaining_length(chunk, 1)
        connect = parse_packet(chunk[0], Reader(chunk, begin, end), 0)
        assert isinstance(connect, Connect)  # _check_incomplete let nothing else pass
        self.version = connect.protocol_version
        packets.append(connect)
        return end

    def _learn(self, topic_bytes: bytes) -> str:
        """Return a Topic Name not seen lately, checked; remember it."""
        if len(topic_bytes) == 2:
            if self.version != c.V5:
                raise MalformedPacketError("PUBLISH has an empty Topic Name")  # [MQTT-4.7.3-1]
            return ""  # a Topic Alias may stand for it
        topic = decode_string(topic_bytes[2:])
        if "+" in topic or "#" in topic:
            raise InvalidTopicError("Topic Name contains a wildcard")  # [MQTT-3.3.2-2]
        if len(topic_bytes) <= _LONGEST_REMEMBERED:
            if len(self._topics) >= REMEMBERED_TOPICS:
                self._topics.clear()
            self._topics[topic_bytes] = topic
        return topic

    def _with_properties(
        self, chunk: bytes, pos: int, end: int, first: int, topic: str, packet_id: int
    ) -> Publish:
        """Return an MQTT 5 PUBLISH whose properties begin at `pos`."""
        reader = Reader(chunk, pos, end)
        properties = parse_properties(reader, c.PUBLISH)
        if not topic and (properties is None or c.TOPIC_ALIAS not in properties):
            raise ProtocolError("PUBLISH has neither Topic Name nor Topic Alias")  # §3.3.2.1
        if self._is_server and properties and c.SUBSCRIPTION_IDENTIFIER in properties:
            # [MQTT-3.3.4-6]
            raise ProtocolError("A client's PUBLISH has a Subscription Identifier")
        payload = reader.rest()
        return Publish(
            topic,
            payload,
            (first >> 1) & 3,
            first & 1 == 1,
            first & 8 == 8,
            packet_id,
            properties,
        )


def _remaining_length(chunk: bytes, pos: int) -> tuple[int, int]:
    """Return (Remaining Length, position after it), or (0, 0) if it is not complete.

    Raises MalformedPacketError if it does not end within four bytes or is longer than needed.
    MQTT 5.0 §2.1.4, 3.1.1 §2.2.3.
    """
    value = 0
    for index in range(4):
        if pos + index >= len(chunk):
            return 0, 0
        byte = chunk[pos + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                # [MQTT-1.5.5-1] The shortest form is the only one.
                raise MalformedPacketError("Remaining Length is longer than needed")
            return value, pos + index + 1
    raise MalformedPacketError("Remaining Length does not end in four bytes")
