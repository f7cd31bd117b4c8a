"""Reader: takes the fields of one packet's body from its bytes, in order (MQTT 5.0 §1.5)."""

from fleetwire.protocol.errors import MalformedPacketError


class Reader:
    """A position in the body of one packet, which ends at `end`.

    Every method raises MalformedPacketError where the body is too short for what it should take.
    """

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int, end: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end

    def _advance(self, count: int) -> int:
        """Return where the next `count` bytes begin, and step over them."""
        begin = self.pos
        if begin + count > self.end:
            raise MalformedPacketError("A field runs past the end of its packet")
        self.pos = begin + count
        return begin

    def byte(self) -> int:
        return self.data[self._advance(1)]

    def two_byte(self) -> int:
        begin = self._advance(2)
        return (self.data[begin] << 8) | self.data[begin + 1]

    def four_byte(self) -> int:
        begin = self._advance(4)
        return int.from_bytes(self.data[begin : begin + 4], "big")

    def variable(self) -> int:
        """Take a Variable Byte Integer (§1.5.5)."""
        begin = self.pos
        if begin < self.end and self.data[begin] < 0x80:  # as nearly all are
            self.pos = begin + 1
            return self.data[begin]
        value = 0
        shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    # [MQTT-1.5.5-1] The shortest form is the only one.
                    raise MalformedPacketError("A variable byte integer is longer than needed")
                return value
            shift += 7
            if shift > 21:
                raise MalformedPacketError("A variable byte integer does not end in four bytes")

    def binary(self) -> bytes:
        """Take Binary Data (§1.5.6)."""
        count = self.two_byte()
        begin = self._advance(count)
        return self.data[begin : begin + count]

    def string(self) -> str:
        """Take a UTF-8 Encoded String (§1.5.4)."""
        return decode_string(self.binary())

    def rest(self) -> bytes:
        """Take all that is left."""
        begin = self.pos
        self.pos = self.end
        return self.data[begin : self.end]

    def packet_id(self) -> int:
        """Take a Packet Identifier (§2.2.1)."""
        packet_id = self.two_byte()
        if packet_id == 0:
            raise MalformedPacketError("Packet Identifier is 0")  # [MQTT-2.2.1-3]
        return packet_id

    def finish(self) -> None:
        """Pass if nothing is left."""
        if self.pos != self.end:
            raise MalformedPacketError(f"{self.end - self.pos} bytes too many in a packet")


def decode_string(data: bytes) -> str:
    """Return the text. Raises MalformedPacketError if it is no UTF-8 as MQTT allows."""
    try:
        text = data.decode()  # refuses surrogates too [MQTT-1.5.4-1]
    except UnicodeDecodeError as error:
        raise MalformedPacketError("A string is not valid UTF-8") from error
    if "\0" in text:
        raise MalformedPacketError("A string contains U+0000")  # [MQTT-1.5.4-2]
    return text
