"""From packets to bytes, for MQTT 3.1, 3.1.1 and 5.0 (MQTT 5.0 §3).

Properties and reason codes that a version below 5 has no place for are left out. Whatever cannot be
put into bytes raises ProtocolError. Topic Names are taken as they are: who makes one up calls
`topics.check_topic_name`.
"""

from typing import Final

from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import PacketTooLargeError, ProtocolError
from fleetwire.protocol.packets import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from fleetwire.protocol.properties import (
    WILL,
    encode_binary,
    encode_properties,
    encode_string,
    encode_variable,
)

PINGREQ_BYTES: Final = b"\xc0\x00"
PINGRESP_BYTES: Final = b"\xd0\x00"


def encode_publish(
    topic_name: str,
    payload: bytes,
    qos: int,
    retain: bool,
    dup: bool,
    packet_id: int,
    properties: Properties | None,
    version: int,
) -> bytes:
    """Return a PUBLISH; `packet_id` counts only with QoS 1 or 2."""
    head, tail = publish_parts(topic_name, payload, qos, retain, dup, properties, version)
    if qos == 0:
        return head + tail
    if not 0 < packet_id <= 0xFFFF:
        raise ProtocolError(f"Packet Identifier {packet_id} is not in 1..65535")  # [MQTT-2.2.1-3]
    return head + packet_id.to_bytes(2, "big") + tail


def publish_parts(
    topic_name: str,
    payload: bytes,
    qos: int,
    retain: bool,
    dup: bool,
    properties: Properties | None,
    version: int,
) -> tuple[bytes, bytes]:
    """Return what stands before and after the Packet Identifier of a PUBLISH.

    A message for many receivers is made once and sent as `head + packet_id.to_bytes(2, "big") +
    tail`; with QoS 0 as `head + tail`.
    """
    try:
        topic = topic_name.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("A Topic Name holds a surrogate") from error
    length = len(topic)
    if length > 0xFFFF:
        raise ProtocolError(f"A Topic Name has {length} bytes; MQTT allows 65535")
    if version == c.V5:
        tail = encode_properties(properties, c.PUBLISH) + payload if properties else b"\0" + payload
    else:
        tail = payload
    remaining = length + len(tail) + (4 if qos else 2)
    # [MQTT-3.3.1-2] DUP is 0 with QoS 0; QoS 3 does not exist [MQTT-3.3.1-4].
    if qos < 0 or qos > 2 or (dup and qos == 0):
        raise ProtocolError(f"PUBLISH cannot have QoS {qos} with DUP {int(dup)}")
    first = 0x30 | qos << 1
    if retain:
        first |= 1
    if dup:
        first |= 8
    if remaining < 0x80:
        fixed = (first << 8 | remaining).to_bytes(2, "big")
    elif remaining < 0x4000:
        fixed = (first << 16 | (remaining & 0x7F | 0x80) << 8 | remaining >> 7).to_bytes(3, "big")
    else:
        fixed = _fixed(first, remaining)
    return fixed + length.to_bytes(2, "big") + topic, tail


def publish_head(topic_name: str, payload_size: int, first: int, version: int) -> bytes:
    """Return what stands before the Packet Identifier of a PUBLISH without properties.

    `first` is its first byte. The whole is `head + packet_id.to_bytes(2, "big") + payload`, in
    MQTT 5 with a zero byte before the payload; with QoS 0 it is `head + payload`, that byte in the
    head. It is the same for all messages of one topic and size, so it can be kept.
    """
    topic = topic_name.encode()
    is_v5 = version == c.V5
    has_id = first & 6 != 0
    remaining = 2 + len(topic) + payload_size + (2 if has_id else 0) + (1 if is_v5 else 0)
    head = _fixed(first, remaining) + len(topic).to_bytes(2, "big") + topic
    return head + b"\0" if is_v5 and not has_id else head


def _fixed(first: int, remaining: int) -> bytes:
    """Return a fixed header (§2.1)."""
    if remaining > c.LARGEST_REMAINING_LENGTH:
        raise PacketTooLargeError(f"A packet of {remaining} bytes is more than MQTT can carry")
    return bytes((first,)) + encode_variable(remaining)


def _packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _fixed(first, len(body)) + body


def _id(packet_id: int) -> bytes:
    if not 0 < packet_id <= 0xFFFF:
        raise ProtocolError(f"Packet Identifier {packet_id} is not in 1..65535")  # [MQTT-2.2.1-3]
    return packet_id.to_bytes(2, "big")


def _properties(properties: Properties | None, packet_type: int, version: int) -> bytes:
    return encode_properties(properties, packet_type) if version == c.V5 else b""


# The four acknowledgements; `packet_id` is one that was received or allocated, so 1..65535. The
# short form without a reason code says success and is the only one below MQTT 5 (§3.4.2.1).


def encode_puback(packet_id: int, reason_code: int = 0, version: int = c.V311) -> bytes:
    """Return a PUBACK."""
    if reason_code == 0 or version != c.V5:
        return (0x40020000 | packet_id).to_bytes(4, "big")
    return (0x4003000000 | packet_id << 8 | reason_code).to_bytes(5, "big")


def encode_pubacks(packet_ids: list[int]) -> list[bytes]:
    """Return a PUBACK with reason code 0 for each Packet Identifier, in order."""
    return [(0x40020000 | packet_id).to_bytes(4, "big") for packet_id in packet_ids]


def encode_pubrec(packet_id: int, reason_code: int = 0, version: int = c.V311) -> bytes:
    """Return a PUBREC."""
    if reason_code == 0 or version != c.V5:
        return (0x50020000 | packet_id).to_bytes(4, "big")
    return (0x5003000000 | packet_id << 8 | reason_code).to_bytes(5, "big")


def encode_pubrel(packet_id: int, reason_code: int = 0, version: int = c.V311) -> bytes:
    """Return a PUBREL, whose flags are 2 [MQTT-3.6.1-1]."""
    if reason_code == 0 or version != c.V5:
        return (0x62020000 | packet_id).to_bytes(4, "big")
    return (0x6203000000 | packet_id << 8 | reason_code).to_bytes(5, "big")


def encode_pubcomp(packet_id: int, reason_code: int = 0, version: int = c.V311) -> bytes:
    """Return a PUBCOMP."""
    if reason_code == 0 or version != c.V5:
        return (0x70020000 | packet_id).to_bytes(4, "big")
    return (0x7003000000 | packet_id << 8 | reason_code).to_bytes(5, "big")


def encode_ack(packet: Ack, version: int) -> bytes:
    """Return any of the four acknowledgements, with its properties."""
    first = packet.type << 4 | (2 if packet.type == c.PUBREL else 0)
    if version != c.V5 or (packet.reason_code == 0 and not packet.properties):
        return _packet(first, _id(packet.packet_id))
    properties = encode_properties(packet.properties, packet.type) if packet.properties else b""
    return _packet(first, _id(packet.packet_id), bytes((packet.reason_code,)), properties)


def encode_connack(
    session_present: bool, reason_code: int, properties: Properties | None, version: int
) -> bytes:
    """Return a CONNACK; below MQTT 5 `reason_code` is the return code (`constants.return_code`)."""
    # [MQTT-3.2.2-6] No session with a refusal; 3.1 has no flag for it (3.1 §3.2).
    flags = 1 if session_present and reason_code == 0 and version != c.V31 else 0
    return _packet(0x20, bytes((flags, reason_code)), _properties(properties, c.CONNACK, version))


def encode_suback(
    packet_id: int, reason_codes: list[int], properties: Properties | None, version: int
) -> bytes:
    """Return a SUBACK. 3.1 has no failure code: 0x80 is sent all the same, as 3.1.1 has it."""
    return _packet(
        0x90, _id(packet_id), _properties(properties, c.SUBACK, version), bytes(reason_codes)
    )


def encode_unsuback(
    packet_id: int, reason_codes: list[int], properties: Properties | None, version: int
) -> bytes:
    """Return an UNSUBACK; below MQTT 5 without reason codes."""
    if version != c.V5:
        return _packet(0xB0, _id(packet_id))
    return _packet(
        0xB0, _id(packet_id), encode_properties(properties, c.UNSUBACK), bytes(reason_codes)
    )


def encode_disconnect(reason_code: int, properties: Properties | None, version: int) -> bytes:
    """Return a DISCONNECT; below MQTT 5 without a reason, and then only a client may send it."""
    if version != c.V5 or (reason_code == 0 and not properties):
        return b"\xe0\x00"
    tail = encode_properties(properties, c.DISCONNECT) if properties else b""
    return _packet(0xE0, bytes((reason_code,)), tail)


def encode_auth(reason_code: int, properties: Properties | None) -> bytes:
    """Return an AUTH (MQTT 5 only)."""
    if reason_code == 0 and not properties:
        return b"\xf0\x00"
    return _packet(0xF0, bytes((reason_code,)), encode_properties(properties, c.AUTH))


def encode_connect(packet: Connect) -> bytes:
    """Return a CONNECT of the version it names."""
    version = packet.protocol_version
    will = packet.will
    flags = 0x02 if packet.clean_start else 0
    parts = [
        encode_string("MQIsdp" if version == c.V31 else "MQTT"),
        b"",  # level, flags and Keep Alive, once the flags are known
        _properties(packet.properties, c.CONNECT, version),
        encode_string(packet.client_id),
    ]
    if will is not None:
        flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        parts.append(_properties(will.properties, WILL, version))
        parts.append(encode_string(will.topic_name))
        parts.append(encode_binary(will.payload))
    if packet.username is not None:
        flags |= 0x80
        parts.append(encode_string(packet.username))
    if packet.password is not None:
        if packet.username is None and version != c.V5:
            # [MQTT-3.1.2-22] of 3.1.1
            raise ProtocolError("A password needs a user name below MQTT 5")
        flags |= 0x40
        parts.append(encode_binary(packet.password))
    if not 0 <= packet.keep_alive <= 0xFFFF:
        raise ProtocolError(f"Keep Alive {packet.keep_alive} is not in 0..65535 seconds")
    parts[1] = bytes((version, flags)) + packet.keep_alive.to_bytes(2, "big")
    return _packet(0x10, *parts)


def encode_subscribe(
    packet_id: int,
    subscriptions: list[Subscription],
    properties: Properties | None,
    version: int,
) -> bytes:
    """Return a SUBSCRIBE; below MQTT 5 the options are the QoS alone."""
    if not subscriptions:
        raise ProtocolError("SUBSCRIBE without a Topic Filter")  # [MQTT-3.8.3-2]
    parts = [_id(packet_id), _properties(properties, c.SUBSCRIBE, version)]
    for subscription in subscriptions:
        options = subscription.qos
        if version == c.V5:
            options |= 0x04 if subscription.no_local else 0
            options |= 0x08 if subscription.retain_as_published else 0
            options |= subscription.retain_handling << 4
        parts.append(encode_string(subscription.topic_filter))
        parts.append(bytes((options,)))
    return _packet(0x82, *parts)  # [MQTT-3.8.1-1]


def encode_unsubscribe(
    packet_id: int, topic_filters: list[str], properties: Properties | None, version: int
) -> bytes:
    """Return an UNSUBSCRIBE."""
    if not topic_filters:
        raise ProtocolError("UNSUBSCRIBE without a Topic Filter")  # [MQTT-3.10.3-2]
    parts = [_id(packet_id), _properties(properties, c.UNSUBSCRIBE, version)]
    parts.extend([encode_string(topic_filter) for topic_filter in topic_filters])
    return _packet(0xA2, *parts)  # [MQTT-3.10.1-1]


def encode(packet: Packet, version: int) -> bytes:
    """Return the bytes of any packet. A CONNECT is of the version it names itself."""
    if isinstance(packet, Publish):
        return encode_publish(
            packet.topic_name,
            packet.payload,
            packet.qos,
            packet.retain,
            packet.dup,
            packet.packet_id,
            packet.properties,
            version,
        )
    if isinstance(packet, Ack):
        return encode_ack(packet, version)
    if isinstance(packet, Connect):
        return encode_connect(packet)
    if isinstance(packet, Connack):
        return encode_connack(
            packet.session_present, packet.reason_code, packet.properties, version
        )
    if isinstance(packet, Subscribe):
        return encode_subscribe(packet.packet_id, packet.subscriptions, packet.properties, version)
    if isinstance(packet, Suback):
        return encode_suback(packet.packet_id, packet.reason_codes, packet.properties, version)
    if isinstance(packet, Unsubscribe):
        return encode_unsubscribe(
            packet.packet_id, packet.topic_filters, packet.properties, version
        )
    if isinstance(packet, Unsuback):
        return encode_unsuback(packet.packet_id, packet.reason_codes, packet.properties, version)
    if isinstance(packet, Disconnect):
        return encode_disconnect(packet.reason_code, packet.properties, version)
    if isinstance(packet, Auth):
        return encode_auth(packet.reason_code, packet.properties)
    if isinstance(packet, Pingreq):
        return PINGREQ_BYTES
    if isinstance(packet, Pingresp):
        return PINGRESP_BYTES
    raise ProtocolError(f"{packet!r} is no packet that MQTT has")
