"""From the body of one packet to its value, for every packet type (MQTT 5.0 §3).

Each function takes the whole body or raises MalformedPacketError (the layout is broken) or
ProtocolError (what it says is not allowed). PUBLISH is here as a Will only; the packet itself and
short acknowledgements are decoded by `decoder.Decoder` in its loop.

Does not: judge reason codes that the standard does not list for a packet. They are passed on; the
classes "below 0x80" and "0x80 and above" are what counts.
"""

from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import (
    MalformedPacketError,
    ProtocolError,
    UnsupportedProtocolVersionError,
)
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
from fleetwire.protocol.properties import WILL, parse_properties
from fleetwire.protocol.reader import Reader
from fleetwire.protocol.topics import check_topic_name


def parse_packet(first: int, reader: Reader, version: int) -> Packet:
    """Return the packet whose first byte is `first`; anything but PUBLISH."""
    packet_type = first >> 4
    if c.PUBACK <= packet_type <= c.PUBCOMP:
        return _parse_ack(packet_type, reader, version)
    if packet_type == c.PINGREQ:
        reader.finish()
        return Pingreq()
    if packet_type == c.PINGRESP:
        reader.finish()
        return Pingresp()
    if packet_type == c.SUBSCRIBE:
        return _parse_subscribe(reader, version)
    if packet_type == c.UNSUBSCRIBE:
        return _parse_unsubscribe(reader, version)
    if packet_type == c.DISCONNECT:
        return _parse_disconnect(reader, version)
    if packet_type == c.CONNECT:
        return parse_connect(reader)
    if packet_type == c.CONNACK:
        return _parse_connack(reader, version)
    if packet_type == c.SUBACK:
        packet_id = reader.packet_id()
        properties = _properties(reader, c.SUBACK, version)
        return Suback(packet_id, _reason_codes(reader), properties)
    if packet_type == c.UNSUBACK:
        packet_id = reader.packet_id()
        if version != c.V5:
            reader.finish()
            return Unsuback(packet_id, [])
        properties = parse_properties(reader, c.UNSUBACK)
        return Unsuback(packet_id, _reason_codes(reader), properties)
    return _parse_auth(reader)


def _properties(reader: Reader, packet_type: int, version: int) -> Properties | None:
    return parse_properties(reader, packet_type) if version == c.V5 else None


def parse_connect(reader: Reader) -> Connect:
    """Return a CONNECT. Raises UnsupportedProtocolVersionError for a level we do not speak."""
    name = reader.binary()
    version = reader.byte()
    if name == b"MQIsdp":
        if version != c.V31:
            raise UnsupportedProtocolVersionError(f"MQIsdp level {version} is not supported")
    elif name == b"MQTT":
        if version != c.V311 and version != c.V5:
            # [MQTT-3.1.2-2]
            raise UnsupportedProtocolVersionError(f"MQTT level {version} is not supported")
    else:
        raise MalformedPacketError("The protocol name is neither MQTT nor MQIsdp")  # [MQTT-3.1.2-1]
    flags = reader.byte()
    if flags & 0x01 and version != c.V31:
        raise MalformedPacketError("The reserved flag of CONNECT is set")  # [MQTT-3.1.2-3]
    if flags & 0xC0 == 0x40 and version != c.V5:
        # [MQTT-3.1.2-22] of 3.1.1
        raise MalformedPacketError("CONNECT has a password but no user name")
    keep_alive = reader.two_byte()
    properties = _properties(reader, c.CONNECT, version)
    client_id = reader.string()
    will = _parse_will(flags, reader, version)
    username = reader.string() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    reader.finish()
    return Connect(
        version, client_id, flags & 0x02 != 0, keep_alive, username, password, will, properties
    )


def _parse_will(flags: int, reader: Reader, version: int) -> Publish | None:
    qos = (flags >> 3) & 3
    retain = flags & 0x20 != 0
    if not flags & 0x04:
        if qos or retain:
            # [MQTT-3.1.2-11] [MQTT-3.1.2-13]
            raise MalformedPacketError("CONNECT has Will QoS or Will Retain but no Will")
        return None
    if qos == 3:
        raise MalformedPacketError("Will QoS is 3")  # [MQTT-3.1.2-12]
    properties = _properties(reader, WILL, version)
    topic_name = reader.string()
    check_topic_name(topic_name)
    return Publish(topic_name, reader.binary(), qos, retain, False, 0, properties)


def _parse_connack(reader: Reader, version: int) -> Connack:
    flags = reader.byte()
    if flags > 1:
        raise MalformedPacketError("A reserved flag of CONNACK is set")  # [MQTT-3.2.2-1]
    reason_code = reader.byte()
    properties = _properties(reader, c.CONNACK, version)
    reader.finish()
    return Connack(flags == 1, reason_code, properties)


def _parse_ack(packet_type: int, reader: Reader, version: int) -> Ack:
    packet_id = reader.packet_id()
    reason_code = 0
    properties: Properties | None = None
    # MQTT 5.0 §3.4.2.1: the reason code, and the Property Length, may be left out.
    if version == c.V5 and reader.pos < reader.end:
        reason_code = reader.byte()
        if reader.pos < reader.end:
            properties = parse_properties(reader, packet_type)
    reader.finish()
    return Ack(packet_type, packet_id, reason_code, properties)


def _parse_subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = reader.packet_id()
    properties = _properties(reader, c.SUBSCRIBE, version)
    subscriptions: list[Subscription] = []
    while reader.pos < reader.end:
        topic_filter = reader.string()
        options = reader.byte()
        qos = options & 3
        if qos == 3:
            raise MalformedPacketError("SUBSCRIBE asks for QoS 3")  # [MQTT-3.8.3-4] of 3.1.1
        if version != c.V5:
            if options > 3 and version != c.V31:
                raise MalformedPacketError("Reserved bits of SUBSCRIBE are set")
            subscriptions.append(Subscription(topic_filter, qos))
            continue
        if options & 0xC0:
            raise MalformedPacketError("Reserved bits of SUBSCRIBE are set")  # [MQTT-3.8.3-5]
        no_local = options & 0x04 != 0
        retain_handling = (options >> 4) & 3
        if retain_handling == 3:
            raise ProtocolError("Retain Handling is 3")
        if no_local and topic_filter.startswith("$share/"):
            # [MQTT-3.8.3-4]
            raise ProtocolError("No Local is not allowed on a shared subscription")
        subscriptions.append(
            Subscription(topic_filter, qos, no_local, options & 0x08 != 0, retain_handling)
        )
    if not subscriptions:
        raise ProtocolError("SUBSCRIBE without a Topic Filter")  # [MQTT-3.8.3-2]
    return Subscribe(packet_id, subscriptions, properties)


def _parse_unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = reader.packet_id()
    properties = _properties(reader, c.UNSUBSCRIBE, version)
    topic_filters: list[str] = []
    while reader.pos < reader.end:
        topic_filters.append(reader.string())
    if not topic_filters:
        raise ProtocolError("UNSUBSCRIBE without a Topic Filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, topic_filters, properties)


def _reason_codes(reader: Reader) -> list[int]:
    codes = list(reader.rest())
    if not codes:
        raise MalformedPacketError("An acknowledgement has no reason code")
    return codes


def _parse_disconnect(reader: Reader, version: int) -> Disconnect:
    reason_code = 0
    properties: Properties | None = None
    if version == c.V5 and reader.pos < reader.end:
        reason_code = reader.byte()
        if reader.pos < reader.end:
            properties = parse_properties(reader, c.DISCONNECT)
    reader.finish()
    return Disconnect(reason_code, properties)


def _parse_auth(reader: Reader) -> Auth:
    if reader.pos == reader.end:
        return Auth()
    reason_code = reader.byte()
    properties: Properties | None = None
    if reader.pos < reader.end:
        properties = parse_properties(reader, c.AUTH)
    reader.finish()
    return Auth(reason_code, properties)
