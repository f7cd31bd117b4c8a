"""MQTTConnection: one Network Connection on asyncio.

    data_received -> ServerProtocol.receive -> Broker -> output -> one write at the end of the turn

CONNECT is the only packet that waits (for the authenticator); until it is answered nothing more is
read. Everything after it is decided from memory.
"""

import asyncio
import time

import structlog

from fleetwire.broker.link import Link
from fleetwire.broker.session import Session
from fleetwire.net.authenticator import ClientCertificate
from fleetwire.net.carrying import carry_out
from fleetwire.net.clients import Client
from fleetwire.net.exchange import AuthInbox, ExchangeEndedError
from fleetwire.net.gatekeeper import NO_CONNECT, PAUSED, Refusal
from fleetwire.net.meter import Meter
from fleetwire.net.opening import answer_connect
from fleetwire.net.proxy import endpoint
from fleetwire.net.tls import read_certificate
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connack, encode_disconnect
from fleetwire.protocol.errors import (
    MalformedPacketError,
    PacketTooLargeError,
    ProtocolError,
    UnsupportedProtocolVersionError,
)
from fleetwire.protocol.packets import (
    Connect,
    Packet,
    Publish,
)
from fleetwire.protocol.server import ServerProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.server import Server

log = structlog.get_logger("fleetwire.net")

READ_BYTES = 64 * 1024  # at once from one connection
# ... until its CONNECT is accepted: what comes behind CONNECT in the same read is kept meanwhile,
# as packets, which take up to thirty times their bytes.
OPENING_READ_BYTES = 4096
CLOSE_GRACE_S = 1.0  # time for the last bytes to arrive before the connection is cut
STALLED_S = 60.0  # a client that reads nothing for so long is gone, whatever TCP says


def remote_of(transport: asyncio.BaseTransport) -> str:
    """Return `host:port` of the far side of a socket; `local` for a Unix socket."""
    peer = transport.get_extra_info("peername")
    return endpoint(peer[0], peer[1]) if isinstance(peer, tuple) else "local"


class MQTTConnection(asyncio.Protocol, Link):
    """The server's side of one client's connection.

    `listener` is how it came in: tcp, tls, ws, wss or unix. `remote` is where a proxy says that the
    client is; without one it is where the socket says.
    """

    def __init__(
        self,
        server: "Server",
        anonymous_allowed: bool,
        *,
        listener: str = "tcp",
        remote: str = "",
    ) -> None:
        Link.__init__(self)
        self.server = server
        self.anonymous_allowed = anonymous_allowed
        limits = server.limits
        self.protocol = ServerProtocol(limits.maximum_packet_size, limits.connect_packet_size)
        self.protocol.receive_maximum = limits.receive_maximum
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.client: Client | None = None
        self.listener = listener
        self.remote = remote
        self.certificate: ClientCertificate | None = None
        self.opened_at = time.monotonic()  # or when we last began to listen
        self.heard_at = self.opened_at
        self.bytes_received = 0
        self.bytes_sent = 0
        self.keep_alive_s = 0.0  # one and a half times Keep Alive; 0 = off
        self.with_will = True
        self.reason = "lost"
        self.is_opening = False
        self.is_held_back = False  # what is written waits; see hold_back
        self.auth_inbox: AuthInbox | None = None  # of the exchange under way
        self.congested_at = 0.0
        self._meter = limits.flow.meter()
        self._rest: asyncio.TimerHandle | None = None  # it sent more than its rate
        self._is_paused = False
        self._waiting: list[Packet] = []  # came in the same read as CONNECT

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._read_at_once(OPENING_READ_BYTES)
        transport.set_write_buffer_limits(high=self.server.limits.write_high_bytes)
        self.remote = self.remote or remote_of(transport)
        self.server.connections.add(self)
        self._read_certificate(transport)
        if self.server.is_draining or self.server.gatekeeper.arrive(
            self, self.remote, time.monotonic()
        ):
            self.abort()
        elif self.server.is_held:
            self.server.hold_one(self)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self.heard_at = time.monotonic()
        self.server.broker.stats.bytes_received += len(data)
        protocol = self.protocol
        if self.acknowledged:
            protocol.acknowledged(self.acknowledged)
            self.acknowledged = 0
        packets = protocol.receive(data)
        self.server.broker.stats.packets_received += len(packets)
        self.bytes_received += len(data)
        if self.server.tracer.traces:
            self.server.tracer.received(self, packets)
        session = self.session
        if session is not None:
            if protocol.only_publishes:
                publishes: list[Publish] = packets  # type: ignore[assignment]  # and nothing else
                self.server.broker.publish(session, publishes, time.time_ns() // 1000)
            else:
                carry_out(self, packets)
        elif packets:
            self._open(packets)
        if protocol.error is not None and not self.closed and not self.is_opening:
            self._refuse_bytes(protocol.error)
        if self.auth_inbox is not None and self.is_opening:
            self._judge_exchange(self.auth_inbox)
        if self._meter is not None:
            self._charge(self._meter, len(data), packets)

    def _read_certificate(self, transport: asyncio.Transport) -> None:
        tls = transport.get_extra_info("ssl_object")
        der = None if tls is None else tls.getpeercert(binary_form=True)
        if der is None:
            return
        try:
            self.certificate = read_certificate(der)
        except ValueError as error:
            # OpenSSL trusts it, but nobody could say whose it is.
            reason = f"the client certificate cannot be read: {error}"
            log.warning("connection closed", remote=self.remote, reason=reason)
            self.finish()

    def eof_received(self) -> bool:
        # What is due is written, in bounded time.
        self.finish()
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.auth_inbox is not None:
            self.auth_inbox.fail(ExchangeEndedError("the connection was lost"))
        self._detach()
        if self._rest is not None:
            self._rest.cancel()
        self.server.leave(self)
        self.transport = None

    def _detach(self) -> None:
        """Leave the session: what happens to it from here on is not this connection's."""
        self.output.clear()
        session, client = self.session, self.client
        if session is None or client is None:
            return
        self.session = None
        self.server.gatekeeper.part(self)
        broker = self.server.broker
        sent_will = broker.close(
            session, self, with_will=self.with_will, now=time.time_ns() // 1000
        )
        reason = "will" if sent_will and self.reason == "lost" else self.reason
        self.server.tell_disconnected(client, reason)

    def pause_writing(self) -> None:
        # It does not read what we write. Whatever it sends would add acknowledgements to the heap.
        self.congested = True
        self.congested_at = time.monotonic()
        self.pause()

    def resume_writing(self) -> None:
        self.congested = False
        if not self.server.is_held:
            self.unpause()
        if self.session is not None:
            self.server.broker.uncongested(self.session, time.time_ns() // 1000)

    # --- CONNECT ---

    def _open(self, packets: list[Packet]) -> None:
        if self.is_opening:
            if self.auth_inbox is not None:
                self.auth_inbox.hear(packets)
            else:
                self._waiting.extend(packets)
            return
        connect = packets[0]
        assert isinstance(connect, Connect)  # ServerProtocol lets nothing else pass first
        self._waiting = packets[1:]
        self.version = connect.protocol_version
        refusal = self.server.gatekeeper.connect(self.remote, time.monotonic())
        if refusal is not None:
            self._turn_away(refusal)
            return
        self.is_opening = True
        # A client that talks on while it waits must not fill our memory.
        self.pause()
        self.server.start(answer_connect(self, connect))

    def _turn_away(self, refusal: Refusal) -> None:
        """Refuse a CONNECT without asking whose it is; the gatekeeper has counted and logged it."""
        self._waiting = []
        self.server.broker.stats.refuse_connection(refusal.reason_code)
        is_v5 = self.version == c.V5
        code = refusal.reason_code if is_v5 else c.return_code(refusal.reason_code)
        self.write(encode_connack(False, code, None, self.version))
        self.finish()

    def _judge_exchange(self, inbox: AuthInbox) -> None:
        """End an exchange before CONNACK whose bytes break the rules, or would fill our memory."""
        protocol = self.protocol
        limit = self.server.limits.connect_packet_size
        if protocol.error is not None:
            inbox.fail(protocol.error)
        elif protocol.buffered_bytes > limit:
            inbox.fail(PacketTooLargeError(f"An AUTH before CONNACK has more than {limit} bytes"))

    def begin_exchange(self, method: str) -> AuthInbox:
        """Read on before CONNACK; return where the client's AUTH packets come."""
        self.auth_inbox = AuthInbox(method)
        waiting, self._waiting = self._waiting, []
        self.auth_inbox.hear(waiting)
        if self.protocol.error is not None:
            self.auth_inbox.fail(self.protocol.error)
        if not self.server.is_held:
            self.unpause()
        return self.auth_inbox

    def opened(self, session: Session, client: Client, keep_alive: int) -> None:
        """CONNECT was accepted and CONNACK written: carry out what came behind it."""
        # [MQTT-3.1.2-22] Silence for one and a half times Keep Alive ends the connection.
        self.keep_alive_s = keep_alive * 1.5
        self.session = session
        self.client = client
        self.is_opening = False
        self.auth_inbox = None
        self.server.entered(self, client)
        self.server.tell_connected(client)
        self.server.broker.resume(session, time.time_ns() // 1000)
        for topic_filter in list(session.subscriptions):
            self.server.tell_listening(client, topic_filter)
        waiting, self._waiting = self._waiting, []
        meter = self._meter
        self._read_at_once(READ_BYTES if meter is None else min(READ_BYTES, meter.read_bytes))
        carry_out(self, waiting)
        if self.protocol.error is not None and not self.closed:
            self._refuse_bytes(self.protocol.error)
        if not self.server.is_held:
            self.unpause()

    # --- packets ---

    def _refuse_bytes(self, error: ProtocolError) -> None:
        client_id = self.session.client_id if self.session is not None else ""
        log.warning(
            "connection closed", client_id=client_id[:64], remote=self.remote, reason=str(error)
        )
        if self.session is None:
            self.server.broker.stats.refuse_connection(error.reason_code)
            if isinstance(error, UnsupportedProtocolVersionError):
                # [MQTT-3.1.2-2] Older clients read return code 1.
                self.write(encode_connack(False, 1, None, c.V311))
            self.finish()
        else:
            self.close(
                error.reason_code,
                "malformed packet" if isinstance(error, MalformedPacketError) else "protocol error",
            )

    # --- Link ---

    def wake(self) -> None:
        self.server.schedule(self)

    def flush(self) -> None:
        """Write this turn's output in one piece."""
        output = self.output
        if not output or self.transport is None or self.is_held_back:
            return
        data = output[0] if len(output) == 1 else b"".join(output)
        self.server.broker.stats.packets_sent += len(output)
        output.clear()
        self.server.broker.stats.bytes_sent += len(data)
        self.bytes_sent += len(data)
        if self.server.tracer.traces:
            self.server.tracer.sent(self, data)
        self.send(data)
        session = self.session
        if session is not None and session.retained_waiting and not self.congested:
            self.server.broker.uncongested(session, time.time_ns() // 1000)

    def hold_back(self) -> None:
        """Write nothing until the journal has stored what it was told so far."""
        self.is_held_back = True
        self.server.broker.journal.when_stored(self._let_go)

    def _let_go(self) -> None:
        self.is_held_back = False
        self.flush()

    def send(self, data: bytes) -> None:
        """Give bytes to the transport."""
        assert self.transport is not None
        self.transport.write(data)

    def close(self, reason_code: int, reason: str) -> None:
        if self.closed:
            return
        self.reason = reason
        if self.version == c.V5 and self.session is not None:
            self.write(encode_disconnect(reason_code, None, c.V5))
        self.finish()

    def finish(self) -> None:
        """Write what is queued, end our side, and wait a moment for the far side to end its own.

        Closing at once, with bytes unread, would make TCP throw away what we wrote last: the
        CONNACK or DISCONNECT that says why.
        """
        if self.closed:
            return
        self.flush()
        self.closed = True
        self._detach()
        transport = self.transport
        if transport is None:
            return
        if not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the far side has reset the connection; we have yet to read that
                self.abort()
                return
            if self._is_paused:
                self._is_paused = False
                transport.resume_reading()  # to throw away what still comes
        # Also when it is closing: it would wait for ever for a client that reads nothing.
        asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.abort)

    def abort(self) -> None:
        """Cut the connection."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    def turn_out(self) -> None:
        self.abort()

    # --- flow and time ---

    def _read_at_once(self, most: int) -> None:
        """Bound what one read brings, in bytes."""
        # asyncio reads into 256 KiB, which malloc takes from the kernel and gives back each time.
        assert self.transport is not None
        self.transport.max_size = most  # type: ignore[attr-defined]  # of its socket transports

    def pause(self) -> None:
        """Stop reading."""
        if self.closed or self._is_paused or self.transport is None:
            return
        if not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def _charge(self, meter: Meter, size: int, packets: list[Packet]) -> None:
        """Count what one read brought; read nothing for a while if it was over the client's rate.

        An acknowledgement is an answer to what we sent, and no message of the client.
        """
        messages = len(packets)
        if not self.protocol.only_publishes:
            messages -= sum(1 for packet in packets if c.PUBACK <= packet.type <= c.PUBCOMP)
        rest_s = meter.spend(self.heard_at, size, messages)
        if not rest_s or self.closed:
            return
        if self._rest is not None:  # TLS and WebSocket may bring one more read while paused
            self._rest.cancel()
        self.server.gatekeeper.count(PAUSED)
        self.pause()
        self._rest = asyncio.get_running_loop().call_later(rest_s, self._rested)

    def _rested(self) -> None:
        self._rest = None
        if not self.server.is_held:
            self.unpause()

    def unpause(self) -> None:
        """Read again."""
        if (
            self._is_paused
            and self._rest is None
            and (not self.is_opening or self.auth_inbox is not None)
            and not self.congested
            and self.transport is not None
        ):
            self._is_paused = False
            # What it sent meanwhile, we did not hear.
            self.heard_at = self.opened_at = time.monotonic()
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def check(self, now: float) -> None:
        """Close if the client has been silent too long; `now` is the monotonic clock."""
        if self.closed:
            return
        if self.session is None:
            waits_for_us = self._is_paused or self.is_opening
            if now - self.opened_at > self.server.limits.connect_timeout_s and not waits_for_us:
                log.warning("connection closed", remote=self.remote, reason="no CONNECT in time")
                self.server.gatekeeper.count(NO_CONNECT)
                self.finish()
            return
        if self.congested and now - self.congested_at > STALLED_S:
            log.warning(
                "connection cut",
                client_id=self.session.client_id,
                remote=self.remote,
                reason=f"has not read for {STALLED_S:.0f} s",
            )
            self.reason = "stalled"
            self.abort()
            return
        grant = self.session.grant
        if grant.expires_at and grant.expires_at <= time.time_ns() // 1000:
            self.close(c.NOT_AUTHORIZED, "credential expired")
        elif self.keep_alive_s and not self._is_paused and now - self.heard_at > self.keep_alive_s:
            self.close(c.KEEP_ALIVE_TIMEOUT, "keep_alive")
