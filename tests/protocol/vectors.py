"""Packets and their bytes, written down by hand from the standards."""

from typing import NamedTuple

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)


class Vector(NamedTuple):
    name: str
    version: int
    from_client: bool
    data: bytes
    packet: Packet


def _vector(name: str, version: int, sender: str, text: str, packet: Packet) -> Vector:
    return Vector(name, version, sender == "client", bytes.fromhex(text), packet)


CONNECTS = [
    _vector(
        "3.1 CONNECT",
        c.V31,
        "client",
        "10 0f 0006 4d5149736470 03 02 003c 0001 61",
        Connect(c.V31, "a", True, 60),
    ),
    _vector(
        "3.1.1 CONNECT",
        c.V311,
        "client",
        "10 0d 0004 4d515454 04 00 0000 0001 61",
        Connect(c.V311, "a", False, 0),
    ),
    _vector(
        "3.1.1 CONNECT with everything",
        c.V311,
        "client",
        "10 1c 0004 4d515454 04 f6 000a 0001 61 0003 742f77 0002 6279 0001 75 0001 70",
        Connect(c.V311, "a", True, 10, "u", b"p", Publish("t/w", b"by", 2, True)),
    ),
    _vector(
        "5.0 CONNECT",
        c.V5,
        "client",
        "10 0d 0004 4d515454 05 02 0000 00 0000",
        Connect(c.V5, "", True, 0),
    ),
    _vector(
        "5.0 CONNECT with everything",
        c.V5,
        "client",
        "10 27 0004 4d515454 05 cc 003c 08 11 00000e10 21 000a"
        " 0001 61 05 18 00000005 0001 77 0000 0001 75 0001 70",
        Connect(
            c.V5,
            "a",
            False,
            60,
            "u",
            b"p",
            Publish("w", b"", 1, False, False, 0, {c.WILL_DELAY_INTERVAL: 5}),
            {c.SESSION_EXPIRY_INTERVAL: 3600, c.RECEIVE_MAXIMUM: 10},
        ),
    ),
    _vector(
        "5.0 CONNECT with a password only",
        c.V5,
        "client",
        "10 10 0004 4d515454 05 42 0000 00 0000 0001 70",
        Connect(c.V5, "", True, 0, None, b"p"),
    ),
]

_OLD = [
    _vector("PUBLISH QoS 0", 4, "client", "30 06 0003 612f62 78", Publish("a/b", b"x")),
    _vector("PUBLISH without payload", 4, "client", "30 03 0001 61", Publish("a", b"")),
    _vector(
        "PUBLISH QoS 1 retained",
        4,
        "client",
        "33 08 0003 612f62 000a 78",
        Publish("a/b", b"x", 1, True, False, 10),
    ),
    _vector(
        "PUBLISH QoS 2 again",
        4,
        "client",
        "3c 07 0003 612f62 ffff",
        Publish("a/b", b"", 2, False, True, 65_535),
    ),
    _vector("PUBACK", 4, "client", "40 02 000a", Ack(c.PUBACK, 10)),
    _vector("PUBREC", 4, "client", "50 02 000a", Ack(c.PUBREC, 10)),
    _vector("PUBREL", 4, "client", "62 02 000a", Ack(c.PUBREL, 10)),
    _vector("PUBCOMP", 4, "client", "70 02 000a", Ack(c.PUBCOMP, 10)),
    _vector(
        "SUBSCRIBE",
        4,
        "client",
        "82 0e 000a 0003 612f62 01 0003 632f64 02",
        Subscribe(10, [Subscription("a/b", 1), Subscription("c/d", 2)]),
    ),
    _vector("UNSUBSCRIBE", 4, "client", "a2 08 000a 0001 61 0001 62", Unsubscribe(10, ["a", "b"])),
    _vector("PINGREQ", 4, "client", "c0 00", Pingreq()),
    _vector("DISCONNECT", 4, "client", "e0 00", Disconnect()),
    _vector("CONNACK", 4, "server", "20 02 01 00", Connack(True, 0)),
    _vector("CONNACK refused", 4, "server", "20 02 00 05", Connack(False, 5)),
    _vector("SUBACK", 4, "server", "90 05 000a 00 01 80", Suback(10, [0, 1, 128])),
    _vector("UNSUBACK", 4, "server", "b0 02 000a", Unsuback(10, [])),
    _vector("PINGRESP", 4, "server", "d0 00", Pingresp()),
]

_NEW = [
    _vector("5.0 PUBLISH", 5, "client", "30 05 0001 61 00 78", Publish("a", b"x")),
    _vector(
        "5.0 PUBLISH with properties",
        5,
        "client",
        "32 23 0001 61 0001 1b 01 01 02 0000003c 03 0001 74 08 0001 72 09 0002 0102"
        " 26 0001 6b 0001 76 78 79",
        Publish(
            "a",
            b"xy",
            1,
            False,
            False,
            1,
            {
                c.PAYLOAD_FORMAT_INDICATOR: 1,
                c.MESSAGE_EXPIRY_INTERVAL: 60,
                c.CONTENT_TYPE: "t",
                c.RESPONSE_TOPIC: "r",
                c.CORRELATION_DATA: b"\x01\x02",
                c.USER_PROPERTY: [("k", "v")],
            },
        ),
    ),
    _vector(
        "5.0 PUBLISH by alias",
        5,
        "client",
        "30 07 0000 03 23 0007 78",
        Publish("", b"x", 0, False, False, 0, {c.TOPIC_ALIAS: 7}),
    ),
    _vector(
        "5.0 PUBLISH for two subscriptions",
        5,
        "server",
        "30 09 0001 61 05 0b 01 0b 8001",
        Publish("a", b"", 0, False, False, 0, {c.SUBSCRIPTION_IDENTIFIER: [1, 128]}),
    ),
    _vector("5.0 PUBACK", 5, "client", "40 02 0001", Ack(c.PUBACK, 1)),
    _vector("5.0 PUBACK with a reason", 5, "client", "40 03 0001 10", Ack(c.PUBACK, 1, 0x10)),
    _vector(
        "5.0 PUBREC with Reason String",
        5,
        "client",
        "50 09 0001 97 05 1f 0002 6e6f",
        Ack(c.PUBREC, 1, 0x97, {c.REASON_STRING: "no"}),
    ),
    _vector("5.0 PUBREL with a reason", 5, "client", "62 03 0001 92", Ack(c.PUBREL, 1, 0x92)),
    _vector(
        "5.0 SUBSCRIBE",
        5,
        "client",
        "82 0a 000a 02 0b 05 0002 612f 2d",
        Subscribe(10, [Subscription("a/", 1, True, True, 2)], {c.SUBSCRIPTION_IDENTIFIER: [5]}),
    ),
    _vector("5.0 UNSUBSCRIBE", 5, "client", "a2 06 000a 00 0001 61", Unsubscribe(10, ["a"])),
    _vector("5.0 DISCONNECT", 5, "client", "e0 00", Disconnect()),
    _vector("5.0 DISCONNECT with Will", 5, "client", "e0 01 04", Disconnect(4)),
    _vector(
        "5.0 DISCONNECT with expiry",
        5,
        "client",
        "e0 07 00 05 11 0000000a",
        Disconnect(0, {c.SESSION_EXPIRY_INTERVAL: 10}),
    ),
    _vector(
        "5.0 AUTH",
        5,
        "client",
        "f0 0a 18 08 15 0001 6d 16 0001 64",
        Auth(0x18, {c.AUTHENTICATION_METHOD: "m", c.AUTHENTICATION_DATA: b"d"}),
    ),
    _vector(
        "5.0 CONNACK",
        5,
        "server",
        "20 06 00 00 03 21 0014",
        Connack(False, 0, {c.RECEIVE_MAXIMUM: 20}),
    ),
    _vector("5.0 CONNACK refused", 5, "server", "20 03 00 87 00", Connack(False, 0x87)),
    _vector("5.0 SUBACK", 5, "server", "90 05 000a 00 02 87", Suback(10, [2, 0x87])),
    _vector("5.0 UNSUBACK", 5, "server", "b0 05 000a 00 00 11", Unsuback(10, [0, 0x11])),
]

VECTORS = (
    CONNECTS
    + _OLD
    + [Vector(f"3.1 {v.name}", c.V31, *v[2:]) for v in _OLD if v.data != b"\x20\x02\x01\x00"]
    + _NEW
)
