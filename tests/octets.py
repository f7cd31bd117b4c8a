"""MQTT 3.1 and 3.1.1 packets as bytes, made by hand: a second opinion beside our own encoder."""


def raw(text: str) -> bytes:
    """Return the bytes of `30 05 'a/b' 00`: hex, and text in quotes."""
    pieces = text.split("'")
    return b"".join(
        piece.encode() if index % 2 else bytes.fromhex(piece) for index, piece in enumerate(pieces)
    )


def packet(first: int, *parts: bytes) -> bytes:
    """Return a packet of these parts, behind its first byte and its Remaining Length."""
    body = b"".join(parts)
    length = bytearray()
    left = len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([first]) + length + body


def number(value: int) -> bytes:
    """Return a two-byte integer."""
    return value.to_bytes(2, "big")


def field(value: str | bytes) -> bytes:
    """Return a string or binary data behind its length."""
    data = value.encode() if isinstance(value, str) else value
    return number(len(data)) + data


def connect(
    client_id: str | bytes = "c",
    *fields: str | bytes,
    flags: int = 0x02,
    keep_alive: int = 60,
    name: str = "MQTT",
    level: int = 4,
) -> bytes:
    """Return a CONNECT; `fields` are what follows the client id, as the flags announce it."""
    head = field(name) + bytes([level, flags]) + number(keep_alive)
    return packet(0x10, head, field(client_id), *(field(value) for value in fields))


def connack(return_code: int = 0, *, session_present: bool = False) -> bytes:
    return packet(0x20, bytes([session_present, return_code]))


def publish(
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    packet_id: int = 0,
    retain: bool = False,
    dup: bool = False,
) -> bytes:
    first = 0x30 | dup << 3 | qos << 1 | retain
    return packet(first, field(topic), number(packet_id) if qos else b"", payload)


def puback(packet_id: int) -> bytes:
    return packet(0x40, number(packet_id))


def pubrec(packet_id: int) -> bytes:
    return packet(0x50, number(packet_id))


def pubrel(packet_id: int) -> bytes:
    return packet(0x62, number(packet_id))


def pubcomp(packet_id: int) -> bytes:
    return packet(0x70, number(packet_id))


def subscribe(packet_id: int, *wanted: tuple[str | bytes, int]) -> bytes:
    """Return a SUBSCRIBE to (Topic Filter, options byte) pairs."""
    return packet(
        0x82, number(packet_id), *(field(name) + bytes([options]) for name, options in wanted)
    )


def suback(packet_id: int, *return_codes: int) -> bytes:
    return packet(0x90, number(packet_id), bytes(return_codes))


def unsubscribe(packet_id: int, *topic_filters: str | bytes) -> bytes:
    return packet(0xA2, number(packet_id), *(field(each) for each in topic_filters))


def unsuback(packet_id: int) -> bytes:
    return packet(0xB0, number(packet_id))


PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
DISCONNECT = b"\xe0\x00"
