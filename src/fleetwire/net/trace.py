"""Tracer: packets of one client, one address or one topic, shown while they pass.

Theory of operation. A connection hands over what it read and what it wrote only while there is a
trace at all: that costs one look at an empty list for each read and each write. What is written is
whole packets, so a new Decoder can begin with any write. A trace looks at LINES_PER_S packets a
second at most and keeps WAITING_MOST lines for a slow reader; what is over that is not looked at,
and counted as left out. Each trace ends by itself.

Never shown: passwords, authentication data, properties; payloads only where asked for. A packet is
shown as it came, before it is judged. Of a connection whose CONNECT is not answered yet nobody
knows whose it is.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from fleetwire.broker.grants import Grant
from fleetwire.errors import TooManyError
from fleetwire.net.clients import Client
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.packets import (
    Ack,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from fleetwire.protocol.topics import covers, matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.connection import MQTTConnection

TRACES_MOST: Final = 16  # at once: each looks at the traffic of everyone
LINES_PER_S: Final = 200  # more than a person reads, and little beside what the server carries
WAITING_MOST: Final = 2_000
PAYLOAD_BYTES: Final = 1024  # shown of each, where payloads are asked for
FILTERS_SHOWN: Final = 20
LONGEST_S: Final = 600.0

IN: Final = "in"
OUT: Final = "out"

_ACKS = {c.PUBACK: "PUBACK", c.PUBREC: "PUBREC", c.PUBREL: "PUBREL", c.PUBCOMP: "PUBCOMP"}


class TooManyTracesError(TooManyError):
    """So many traces are on that another one has to wait."""


@dataclass(frozen=True)
class Wanted:
    """What a trace shows; None = not chosen by that. At least one of the three is given.

    `topic` is a Topic Filter: then only PUBLISH, SUBSCRIBE and UNSUBSCRIBE are shown. `may_see`
    says whether who asks may see a client with this grant (None = not known yet).
    """

    client_id: str | None
    address: str | None
    topic: str | None
    payload: bool
    may_see: Callable[[Grant | None], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """One packet, or the end of a connection. `at` is in microseconds UTC."""

    at: int
    client_id: str
    remote: str
    direction: str  # IN = from the client, OUT = to it
    packet: str  # PUBLISH, CONNACK, ...; CLOSED = the connection ended
    detail: dict[str, Any] = field(default_factory=dict)


class Trace:
    """One person's view. `ends_at` is of the monotonic clock."""

    def __init__(self, wanted: Wanted, ends_at: float) -> None:
        self.wanted = wanted
        self.ends_at = ends_at
        self.is_closed = False
        self._lines: deque[Line] = deque()
        self._left_out = 0
        self._second = 0.0  # when the present second of credit began
        self._credit = LINES_PER_S
        self._wake = asyncio.Event()

    def is_over(self, now: float) -> bool:
        """Say whether nothing more will come."""
        return self.is_closed or now >= self.ends_at

    def wants(self, client_id: str, remote: str, grant: Grant | None) -> bool:
        """Say whether packets of this connection are to be looked at."""
        wanted = self.wanted
        if wanted.client_id is not None and wanted.client_id != client_id:
            return False
        if wanted.address is not None and wanted.address != address_of(remote):
            return False
        return wanted.may_see(grant)

    def has_credit(self, now: float) -> bool:
        """Say whether another packet may be looked at in this second."""
        if now - self._second >= 1.0:
            self._second = now
            self._credit = LINES_PER_S
        return self._credit > 0

    def spend(self) -> None:
        """Count a packet that was looked at."""
        self._credit -= 1

    def leave_out(self, count: int) -> None:
        """Count packets that are not looked at, or not kept."""
        self._left_out += count
        self._wake.set()

    def add(self, line: Line) -> None:
        """Keep a line for the reader."""
        if len(self._lines) >= WAITING_MOST:
            self._left_out += 1
            return
        self._lines.append(line)
        self._wake.set()

    def close(self) -> None:
        """End it."""
        self.is_closed = True
        self._wake.set()

    async def take(self, timeout_s: float) -> tuple[list[Line], int]:
        """Return (lines, how many packets were left out) since the last call.

        Waits for them no longer than `timeout_s`; then both are empty.
        """
        if not (self._lines or self._left_out or self.is_closed):
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._wake.wait()
            except TimeoutError:
                return [], 0
        lines, self._lines = list(self._lines), deque()
        left_out, self._left_out = self._left_out, 0
        return lines, left_out


class Tracer:
    """All traces of one server. `traces` is empty most of the time, and then nothing is called."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        # Of what was written, by connection; it goes with the connection.
        self._aliases: WeakKeyDictionary[MQTTConnection, dict[int, str]] = WeakKeyDictionary()

    def open(self, wanted: Wanted, for_s: float) -> Trace:
        """Begin a trace that ends after `for_s`. Raises TooManyTracesError."""
        now = time.monotonic()
        self._end_those_over(now)
        if len(self.traces) >= TRACES_MOST:
            raise TooManyTracesError(f"{TRACES_MOST} traces are on already; wait for one to end.")
        trace = Trace(wanted, now + min(for_s, LONGEST_S))
        self.traces.append(trace)
        return trace

    def end(self, trace: Trace) -> None:
        """End a trace; what it has not handed out yet can still be taken."""
        trace.close()
        if trace in self.traces:
            self.traces.remove(trace)
        if not self.traces:
            self._aliases.clear()

    def close(self) -> None:
        """End all of them: the server stops."""
        for trace in list(self.traces):
            self.end(trace)

    def _end_those_over(self, now: float) -> None:
        for trace in [each for each in self.traces if each.is_over(now)]:
            self.end(trace)

    def received(self, connection: "MQTTConnection", packets: list[Packet]) -> None:
        """Show packets that a client sent."""
        if packets:
            self._show(connection, IN, len(packets), lambda: packets)

    def sent(self, connection: "MQTTConnection", data: bytes) -> None:
        """Show whole packets that were written to a client."""

        def decode() -> Iterable[Packet]:
            # Before CONNECT names a version, what is written is a CONNACK of 3.1.1.
            version = connection.version or c.V311
            decoder = Decoder(c.LARGEST_REMAINING_LENGTH, version=version, is_server=False)
            packets = decoder.feed(data)
            if version == c.V5:
                self._resolve_aliases(connection, packets)
            return packets

        self._show(connection, OUT, 1, decode)

    def disconnected(self, client: Client, reason: str) -> None:
        """Show the end of a connection."""
        for trace in list(self.traces):
            if trace.wanted.topic is None and trace.wants(
                client.client_id, client.remote, client.grant
            ):
                line = Line(_now(), client.client_id, client.remote, OUT, "CLOSED")
                line.detail["reason"] = reason
                trace.add(line)

    def _show(
        self,
        connection: "MQTTConnection",
        direction: str,
        least: int,
        packets_of: Callable[[], Iterable[Packet]],
    ) -> None:
        """Give packets to the traces that want them; `least` is how many there are at least."""
        now = time.monotonic()
        self._end_those_over(now)
        connect = connection.protocol.connect
        session = connection.session
        client_id = connect.client_id if connect is not None else ""
        if session is not None:
            client_id = session.client_id  # which the server may have assigned
        grant = session.grant if session is not None else None
        remote = connection.remote
        at = _now()
        packets: list[Packet] | None = None
        for trace in list(self.traces):
            if not client_id and packets is None and direction == IN:
                packets = list(packets_of())
                if packets and isinstance(packets[0], Connect):
                    client_id = packets[0].client_id
            if not trace.wants(client_id, remote, grant):
                continue
            if not trace.has_credit(now):
                trace.leave_out(least if packets is None else len(packets))
                continue
            if packets is None:
                packets = list(packets_of())
            for index, packet in enumerate(packets):
                if not trace.has_credit(now):
                    trace.leave_out(len(packets) - index)
                    break
                trace.spend()
                wanted = trace.wanted
                if wanted.topic is not None and not _is_about(packet, wanted.topic):
                    continue
                name, detail = described(packet, connection.version, payload=wanted.payload)
                trace.add(Line(at, client_id, remote, direction, name, detail))

    def _resolve_aliases(self, connection: "MQTTConnection", packets: list[Packet]) -> None:
        """Put the Topic Name where an alias stands, if it was seen (MQTT 5.0 §3.3.2.3.4)."""
        for packet in packets:
            if not isinstance(packet, Publish) or not packet.properties:
                continue
            alias = packet.properties.get(c.TOPIC_ALIAS)
            if not isinstance(alias, int):
                continue
            known = self._aliases.setdefault(connection, {})
            if packet.topic_name:
                known[alias] = packet.topic_name
            else:
                packet.topic_name = known.get(alias, "")


def address_of(remote: str) -> str:
    """Return the address without its port."""
    address, colon, _ = remote.rpartition(":")
    return address if colon else remote


def described(packet: Packet, version: int, *, payload: bool) -> tuple[str, dict[str, Any]]:
    """Return (name of the packet, what is in it that may be shown)."""
    detail: dict[str, Any] = {}
    name = type(packet).__name__.upper()
    if isinstance(packet, Publish):
        detail = _publish(packet, payload=payload)
    elif isinstance(packet, Ack):
        name = _ACKS[packet.type]
        detail = {"packet_id": packet.packet_id, "reason": _reason(packet.reason_code)}
    elif isinstance(packet, Connect):
        detail = _connect(packet)
    elif isinstance(packet, Connack):
        code = packet.reason_code
        reason = _reason(code) if version == c.V5 or not code else f"return code {code}"
        detail = {"reason": reason, "session_present": packet.session_present}
    elif isinstance(packet, Subscribe):
        filters = [f"{each.topic_filter} qos {each.qos}" for each in packet.subscriptions]
        detail = {"packet_id": packet.packet_id} | _some(filters)
    elif isinstance(packet, Unsubscribe):
        detail = {"packet_id": packet.packet_id} | _some(packet.topic_filters)
    elif isinstance(packet, Suback | Unsuback):
        codes = [_reason(code) for code in packet.reason_codes[:FILTERS_SHOWN]]
        detail = {"packet_id": packet.packet_id, "reasons": codes}
    elif isinstance(packet, Disconnect | Auth):
        detail = {"reason": _reason(packet.reason_code)}
    return name, detail


def _publish(packet: Publish, *, payload: bool) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "topic": packet.topic_name or None,  # None: an alias from before the trace began
        "qos": packet.qos,
        "retain": packet.retain,
        "dup": packet.dup,
        "packet_id": packet.packet_id,
        "payload_bytes": len(packet.payload),
    }
    if payload:
        shown = packet.payload[:PAYLOAD_BYTES]
        try:
            detail["payload"] = shown.decode()
            detail["encoding"] = "utf-8"
        except UnicodeDecodeError:
            detail["payload"] = base64.b64encode(shown).decode()
            detail["encoding"] = "base64"
    return detail


def _connect(packet: Connect) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "protocol_version": packet.protocol_version,
        "clean_start": packet.clean_start,
        "keep_alive_s": packet.keep_alive,
        "username": packet.username,
        "with_password": packet.password is not None,
    }
    if packet.will is not None:
        detail["will_topic"] = packet.will.topic_name
    return detail


def _some(filters: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"filters": filters[:FILTERS_SHOWN]}
    if len(filters) > FILTERS_SHOWN:
        shown["more_filters"] = len(filters) - FILTERS_SHOWN
    return shown


def _is_about(packet: Packet, topic_filter: str) -> bool:
    if isinstance(packet, Publish):
        # An alias without a name may stand for what is looked for.
        return not packet.topic_name or matches(topic_filter, packet.topic_name)
    if isinstance(packet, Subscribe):
        asked = [each.topic_filter for each in packet.subscriptions]
    elif isinstance(packet, Unsubscribe):
        asked = packet.topic_filters
    else:
        return False
    return any(covers(topic_filter, each) or covers(each, topic_filter) for each in asked)


def _reason(code: int) -> str:
    return f"0x{code:02X} {c.reason_name(code)}"


def _now() -> int:
    return time.time_ns() // 1000
