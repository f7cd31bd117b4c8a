"""What two clients in wide use put on the wire, byte for byte, and what must come back.

The bytes are written by hand from the rules of MQTT 3.1.1 and the habits of the two libraries:

Arduino PubSubClient 2.8  clean session, Keep Alive 15, publishes with QoS 0 only, counts its packet
                          ids from 2, and has a buffer of 256 bytes for a whole packet, in and out
Eclipse Paho Java 1.2     cleanSession=false, Keep Alive 60, a retained Will with QoS 1, counts its
                          packet ids from 1, sends again with DUP what was not acknowledged
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.house import House
from tests.octets import raw

WAIT_S = 10.0
SILENCE_S = 0.2  # how long nothing must come before a test believes that nothing will
BUFFER_BYTES = 256

CONNACK = "20 02 00 00"
CONNACK_SESSION_PRESENT = "20 02 01 00"
PINGREQ = "c0 00"
PINGRESP = "d0 00"
DISCONNECT = "e0 00"


class Wire:
    """One TCP connection that says and hears exact bytes, written as hex and text in quotes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def says(self, *parts: str) -> None:
        """Send these bytes, each part in a write of its own."""
        for part in parts:
            self._socket.sendall(raw(part))

    def hears(self, *parts: str) -> None:
        """Pass if exactly these bytes come next."""
        expected = b"".join(raw(part) for part in parts)
        received = b""
        while len(received) < len(expected):
            data = self._socket.recv(len(expected) - len(received))
            if not data:
                break
            received += data
        assert received.hex(" ") == expected.hex(" ")

    def hears_nothing(self) -> None:
        """Pass if nothing comes for a while, and the connection stands."""
        self._socket.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            self._socket.recv(1)
        self._socket.settimeout(WAIT_S)

    def hears_the_end(self) -> None:
        """Pass if the server closes without another byte."""
        assert self._socket.recv(1) == b""

    def breaks(self) -> None:
        """End as a device does that loses power: a reset, no DISCONNECT."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    opened = Wire(port)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def port(shared_house: House) -> int:
    return shared_house.mqtt_port


@contextmanager
def helper(port: int, client_id: str) -> Iterator[Wire]:
    """Another client with a clean session, whose name has six letters."""
    with wire(port) as opened:
        opened.says(f"10 12 00 04 'MQTT' 04 02 00 3c 00 06 '{client_id}'")
        opened.hears(CONNACK)
        yield opened
        opened.says(DISCONNECT)
        opened.hears_the_end()


# --- Arduino PubSubClient 2.8 ---

PUBSUB_CONNECT = "10 19 00 04 'MQTT' 04 02 00 0f 00 0d 'arduinoClient'"
# client.connect(id, willTopic, willQos=0, willRetain=true, willMessage)
PUBSUB_CONNECT_WITH_WILL = (
    "10 2e 00 04 'MQTT' 04 26 00 0f 00 0d 'arduinoClient' 00 0a 'ps/willing' 00 07 'offline'"
)


def test_pubsubclient_connects_publishes_subscribes_pings_and_leaves(port: int) -> None:
    with helper(port, "watchA") as watcher, wire(port) as arduino:
        watcher.says("82 0d 00 01 00 08 'ps/out/#' 00")
        watcher.hears("90 03 00 01 00")
        arduino.says(PUBSUB_CONNECT)
        arduino.hears(CONNACK)
        # client.publish("ps/out/t", "hello world"): one write, QoS 0, nothing comes back
        arduino.says("30 15 00 08 'ps/out/t' 'hello world'")
        watcher.hears("30 15 00 08 'ps/out/t' 'hello world'")
        # client.subscribe("ps/in", 0) and client.subscribe("ps/sure", 1)
        arduino.says("82 0a 00 02 00 05 'ps/in' 00")
        arduino.hears("90 03 00 02 00")
        arduino.says("82 0c 00 03 00 07 'ps/sure' 01")
        arduino.hears("90 03 00 03 01")
        arduino.says(PINGREQ)
        arduino.hears(PINGRESP)
        watcher.says("32 0b 00 05 'ps/in' 00 07 'on'")
        watcher.hears("40 02 00 07")
        arduino.hears("30 09 00 05 'ps/in' 'on'")
        watcher.says("32 0d 00 07 'ps/sure' 00 08 'on'")
        watcher.hears("40 02 00 08")
        arduino.hears("32 0d 00 07 'ps/sure' 00 01 'on'")
        arduino.says("40 02 00 01")
        # client.unsubscribe("ps/in")
        arduino.says("a2 09 00 04 00 05 'ps/in'")
        arduino.hears("b0 02 00 04")
        arduino.says(DISCONNECT)
        arduino.hears_the_end()


def test_pubsubclient_writes_a_large_message_in_small_pieces(port: int) -> None:
    with helper(port, "watchB") as watcher, wire(port) as arduino:
        watcher.says("82 0d 00 01 00 08 'ps/big/#' 00")
        watcher.hears("90 03 00 01 00")
        arduino.says(PUBSUB_CONNECT)
        arduino.hears(CONNACK)
        # client.beginPublish("ps/big/1", 300, false), 30 times client.print("0123456789")
        arduino.says("30 b6 02 00 08 'ps/big/1'", *["'0123456789'"] * 30)
        watcher.hears("30 b6 02 00 08 'ps/big/1'", *["'0123456789'"] * 30)
        arduino.says("30 0b 00 08 'ps/big/2' '2'")
        watcher.hears("30 0b 00 08 'ps/big/2' '2'")


def test_pubsubclient_is_sent_a_packet_that_just_fills_its_buffer(port: int) -> None:
    # 1 + 2 bytes before the Topic Name's length, 2 for that, 5 for the name: 246 are left.
    payload = "'" + "x" * (BUFFER_BYTES - 10) + "'"
    assert len(raw(f"30 fd 01 00 05 'ps/in' {payload}")) == BUFFER_BYTES
    with helper(port, "sendrC") as sender, wire(port) as arduino:
        arduino.says(PUBSUB_CONNECT)
        arduino.hears(CONNACK)
        arduino.says("82 0a 00 02 00 05 'ps/in' 00")
        arduino.hears("90 03 00 02 00")
        sender.says(f"30 fd 01 00 05 'ps/in' {payload}")
        arduino.hears(f"30 fd 01 00 05 'ps/in' {payload}")
        # One byte more it skips by its length: what counts is that the next one begins after it.
        sender.says(f"30 fe 01 00 05 'ps/in' {payload} 00")
        sender.says("30 09 00 05 'ps/in' 'on'")
        arduino.hears(f"30 fe 01 00 05 'ps/in' {payload} 00", "30 09 00 05 'ps/in' 'on'")


def test_pubsubclient_leaves_its_will_when_it_loses_power(port: int) -> None:
    with helper(port, "watchD") as watcher:
        watcher.says("82 0f 00 01 00 0a 'ps/willing' 01")
        watcher.hears("90 03 00 01 01")
        with wire(port) as arduino:
            arduino.says(PUBSUB_CONNECT_WITH_WILL)
            arduino.hears(CONNACK)
            # client.publish("ps/willing", "online", true)
            arduino.says("31 12 00 0a 'ps/willing' 'online'")
            watcher.hears("30 12 00 0a 'ps/willing' 'online'")
            arduino.breaks()
        watcher.hears("30 13 00 0a 'ps/willing' 'offline'")
    with helper(port, "laterD") as later:
        later.says("82 0f 00 01 00 0a 'ps/willing' 01")
        later.hears("90 03 00 01 01", "31 13 00 0a 'ps/willing' 'offline'")


def test_pubsubclient_back_before_its_old_connection_has_gone_takes_its_place(port: int) -> None:
    with wire(port) as before, wire(port) as after:
        before.says(PUBSUB_CONNECT)
        before.hears(CONNACK)
        after.says(PUBSUB_CONNECT)
        after.hears(CONNACK)
        before.hears_the_end()
        after.says(PINGREQ)
        after.hears(PINGRESP)


# --- Eclipse Paho Java 1.2 ---

PAHO_CONNECT = (
    "10 33 00 04 'MQTT' 04 2c 00 3c 00 10 'paho-java-client'00 0c 'paho/fleet/7' 00 07 'offline'"
)
PAHO_SUBSCRIBE = "82 1d 00 01 00 0b 'paho/orders' 02 00 0a 'paho/hints' 01"
PAHO_ONLINE = "33 16 00 0c 'paho/fleet/7' 00 02 'online'"


PAHO_CONNECT_CLEAN = PAHO_CONNECT.replace("04 2c 00 3c", "04 2e 00 3c")


@pytest.fixture
def paho_port(port: int) -> Iterator[int]:
    """A port of a server that has no session of Paho's, before the test and after it."""
    yield port
    with wire(port) as paho:
        paho.says(PAHO_CONNECT_CLEAN)
        paho.hears(CONNACK)
        paho.says(DISCONNECT)
        paho.hears_the_end()


@contextmanager
def paho_online(port: int) -> Iterator[Wire]:
    """Paho Java after its first connect: subscribed, and its state published."""
    with wire(port) as paho:
        paho.says(PAHO_CONNECT)
        paho.hears(CONNACK)
        paho.says(PAHO_SUBSCRIBE)
        paho.hears("90 04 00 01 02 01")
        paho.says(PAHO_ONLINE)
        paho.hears("40 02 00 02")
        yield paho


def test_paho_java_exchanges_messages_of_each_qos(paho_port: int) -> None:
    with paho_online(paho_port) as paho, helper(paho_port, "helper") as other:
        other.says("82 0f 00 01 00 0a 'paho/ready' 02")
        other.hears("90 03 00 01 02")
        # Out, QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP.
        paho.says("34 11 00 0a 'paho/ready' 00 03 'yes'")
        paho.hears("50 02 00 03")
        other.hears("34 11 00 0a 'paho/ready' 00 01 'yes'")
        other.says("50 02 00 01")
        other.hears("62 02 00 01")
        other.says("70 02 00 01")
        paho.says("62 02 00 03")
        paho.hears("70 02 00 03")
        # In, QoS 2 and QoS 1.
        other.says("34 14 00 0b 'paho/orders' 00 05 'start'")
        other.hears("50 02 00 05")
        other.says("62 02 00 05")
        other.hears("70 02 00 05")
        paho.hears("34 14 00 0b 'paho/orders' 00 01 'start'")
        paho.says("50 02 00 01")
        paho.hears("62 02 00 01")
        paho.says("70 02 00 01")
        other.says("34 12 00 0a 'paho/hints' 00 06 'slow'")
        other.hears("50 02 00 06")
        paho.hears("32 12 00 0a 'paho/hints' 00 02 'slow'")
        paho.says("40 02 00 02")
        paho.says(PINGREQ)
        paho.hears(PINGRESP)
        paho.says(DISCONNECT)
        paho.hears_the_end()


def test_paho_java_is_resumed_where_the_connection_broke(paho_port: int) -> None:
    with helper(paho_port, "helper") as other:
        with paho_online(paho_port) as paho:
            other.says("82 11 00 01 00 0c 'paho/fleet/7' 01")
            other.hears("90 03 00 01 01", "33 16 00 0c 'paho/fleet/7' 00 01 'online'")
            other.says("40 02 00 01")
            # Broken before PUBACK of a hint, and between PUBREL and PUBCOMP of an order.
            other.says("32 12 00 0a 'paho/hints' 00 05 'slow'")
            other.hears("40 02 00 05")
            paho.hears("32 12 00 0a 'paho/hints' 00 01 'slow'")
            other.says("34 14 00 0b 'paho/orders' 00 06 'start'")
            other.hears("50 02 00 06")
            other.says("62 02 00 06")
            other.hears("70 02 00 06")
            paho.hears("34 14 00 0b 'paho/orders' 00 02 'start'")
            paho.says("50 02 00 02")
            paho.hears("62 02 00 02")
            paho.breaks()
        # Its Will, as an established subscription sees it.
        other.hears("32 17 00 0c 'paho/fleet/7' 00 02 'offline'")
        other.says("40 02 00 02")
        # What comes while it is away. QoS 0 is for those who are there.
        other.says("30 10 00 0a 'paho/hints' 'gone'")
        other.says("32 12 00 0a 'paho/hints' 00 07 'fast'")
        other.hears("40 02 00 07")
        other.says("34 13 00 0b 'paho/orders' 00 08 'stop'")
        other.hears("50 02 00 08")
        other.says("62 02 00 08")
        other.hears("70 02 00 08")
        with wire(paho_port) as paho:
            paho.says(PAHO_CONNECT)
            paho.hears(
                CONNACK_SESSION_PRESENT,
                "62 02 00 02",  # PUBRELs first; the standard leaves that to us
                "3a 12 00 0a 'paho/hints' 00 01 'slow'",
                "32 12 00 0a 'paho/hints' 00 03 'fast'",
                "34 13 00 0b 'paho/orders' 00 04 'stop'",
            )
            paho.says("40 02 00 01", "70 02 00 02", "40 02 00 03", "50 02 00 04")
            paho.hears("62 02 00 04")
            paho.says("70 02 00 04", PAHO_ONLINE)
            paho.hears("40 02 00 02")
            other.hears("32 16 00 0c 'paho/fleet/7' 00 03 'online'")
            other.says("40 02 00 03")
            paho.says(DISCONNECT)
            paho.hears_the_end()
        other.hears_nothing()  # a DISCONNECT leaves no Will
        with wire(paho_port) as paho:
            paho.says(PAHO_CONNECT)
            paho.hears(CONNACK_SESSION_PRESENT)
            paho.hears_nothing()  # everything was acknowledged
            paho.says(DISCONNECT)
            paho.hears_the_end()


def test_paho_java_sends_again_and_is_delivered_once(paho_port: int) -> None:
    with helper(paho_port, "helper") as other:
        other.says("82 0f 00 01 00 0a 'paho/ready' 02")
        other.hears("90 03 00 01 02")
        with paho_online(paho_port) as paho:
            paho.says("34 11 00 0a 'paho/ready' 00 03 'yes'")
            paho.hears("50 02 00 03")
            other.hears("34 11 00 0a 'paho/ready' 00 01 'yes'")
            paho.breaks()
        other.says("50 02 00 01")
        other.hears("62 02 00 01")
        other.says("70 02 00 01")
        with wire(paho_port) as paho:
            paho.says(PAHO_CONNECT)
            paho.hears(CONNACK_SESSION_PRESENT)
            # The PUBREC was lost on its way: the same once more, with DUP.
            paho.says("3c 11 00 0a 'paho/ready' 00 03 'yes'")
            paho.hears("50 02 00 03")
            paho.says("62 02 00 03")
            paho.hears("70 02 00 03")
            # The PUBCOMP was lost on its way: PUBREL once more.
            paho.says("62 02 00 03")
            paho.hears("70 02 00 03")
            # The identifier is free again, for a new message.
            paho.says("34 10 00 0a 'paho/ready' 00 03 'no'")
            paho.hears("50 02 00 03")
            other.hears("34 10 00 0a 'paho/ready' 00 02 'no'")
            other.says("50 02 00 02")
            other.hears("62 02 00 02")


def test_paho_java_that_changes_to_a_clean_session_finds_nothing(paho_port: int) -> None:
    with paho_online(paho_port) as paho:
        paho.breaks()
    with helper(paho_port, "helper") as other:
        other.says("32 12 00 0a 'paho/hints' 00 07 'fast'")
        other.hears("40 02 00 07")
        with wire(paho_port) as paho:
            paho.says(PAHO_CONNECT_CLEAN)
            paho.hears(CONNACK)
            other.says("32 12 00 0a 'paho/hints' 00 08 'slow'")
            other.hears("40 02 00 08")
            paho.hears_nothing()
