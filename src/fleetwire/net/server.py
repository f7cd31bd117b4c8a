"""Server: the listeners, the connections, the clock of the embedded broker.

Everything runs on one event loop. What one loop turn wants to write is gathered per connection and
written once at the end of the turn.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fleetwire.broker.broker import Broker
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.takers import Taker
from fleetwire.net.authenticator import Authenticator, RefusedError
from fleetwire.net.clients import Client, ClientObserver, Downlink
from fleetwire.net.connection import MQTTConnection
from fleetwire.net.gatekeeper import Gatekeeper, GateLimits
from fleetwire.net.listeners import Entrance, Kind, Listeners
from fleetwire.net.meter import FlowLimits
from fleetwire.net.proxy import ProxyPolicy
from fleetwire.net.repeats import Repeats
from fleetwire.net.tls import ServerCertificate
from fleetwire.net.trace import Tracer
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from fleetwire.protocol.topics import check_topic_filter, check_topic_name

log = structlog.get_logger("fleetwire.net")

TICK_S = 1.0
FIGHT_WINDOW_S = 10.0  # take-overs of one client id within this time are a fight ...
FIGHT_FREE = 3  # ... from the fourth on
FIGHT_PAUSE_S = 2.0


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds of one connection. Times in seconds, sizes in bytes."""

    maximum_packet_size: int = 1024 * 1024
    connect_packet_size: int = 64 * 1024  # a CONNECT comes from somebody we do not know yet
    connect_timeout_s: float = 10.0
    receive_maximum: int = 1024
    keep_alive_s: int = 0  # given to MQTT 5 clients that ask for none; 0 = none
    write_high_bytes: int = 1024 * 1024  # past this a reader counts as slow
    gate: GateLimits = field(default_factory=GateLimits)
    flow: FlowLimits = field(default_factory=FlowLimits)


class Watcher(Taker):
    """Looks on at what passes."""

    def __init__(self, seen: Callable[[str, bytes, int], None]) -> None:
        self._seen = seen

    def take(self, delivery: Delivery) -> None:
        publish = delivery.publish
        self._seen(publish.topic_name, publish.payload, publish.qos)


class Server(Downlink):
    """The embedded broker on real sockets."""

    def __init__(
        self,
        broker: Broker,
        authenticator: Authenticator,
        limits: ConnectionLimits,
        observers: list[ClientObserver] | None = None,
    ) -> None:
        self.broker = broker
        self.authenticator = authenticator
        self.limits = limits
        self.gatekeeper = Gatekeeper(limits.gate)
        self.refusals = Repeats()
        self.observers = observers if observers is not None else []
        self.connections: set[MQTTConnection] = set()
        self.tracer = Tracer()
        self.is_draining = False
        self.listeners = Listeners(self)
        self._dirty: list[MQTTConnection] = []
        self._paused: set[MQTTConnection] = set()
        self._is_held = False
        self._empty = asyncio.Event()  # the last connection has gone
        self._takeovers: dict[str, list[float]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None

    # --- listeners ---

    async def listen_tcp(
        self,
        host: str,
        port: int,
        *,
        anonymous_allowed: bool,
        certificate: ServerCertificate | None = None,
        proxy: ProxyPolicy | None = None,
    ) -> int:
        """Serve MQTT over TCP, with a certificate over TLS; return the port.

        With a proxy policy every connection must begin with a PROXY header. Raises SettingsError if
        the port cannot be had; so do the other two.
        """
        kind: Kind = "tcp" if certificate is None else "tls"
        self._begin()
        return await self.listeners.listen(
            host, port, Entrance(kind, anonymous_allowed, certificate, proxy)
        )

    async def listen_websocket(
        self,
        host: str,
        port: int,
        *,
        anonymous_allowed: bool,
        certificate: ServerCertificate | None = None,
        proxy: ProxyPolicy | None = None,
    ) -> int:
        """Serve MQTT over (with a certificate, secure) WebSocket on `/` and `/mqtt`."""
        kind: Kind = "ws" if certificate is None else "wss"
        self._begin()
        return await self.listeners.listen(
            host, port, Entrance(kind, anonymous_allowed, certificate, proxy)
        )

    async def listen_unix(
        self,
        path: Path,
        *,
        mode: int = 0o660,
        anonymous_allowed: bool,
        proxy: ProxyPolicy | None = None,
    ) -> None:
        """Serve MQTT on a Unix socket; its file mode says who may connect."""
        self._begin()
        await self.listeners.listen_unix(
            path, mode, Entrance("unix", anonymous_allowed, proxy=proxy)
        )

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._ticker is None:
            self._ticker = self._loop.create_task(self._tick())

    def is_running(self) -> bool:
        return bool(self.listeners) and not self.is_draining

    async def stop_accepting(self) -> None:
        """Close the listeners; connections go on."""
        self.is_draining = True
        self.listeners.stop()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write what is due, tell clients that the server is shutting down, and close."""
        await self.stop_accepting()
        for connection in list(self.connections):
            # That we stop says nothing of the device: its Will stays unsaid.
            connection.with_will = False
            connection.close(c.SERVER_SHUTTING_DOWN, "shutdown")
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), timeout_s)
        for connection in list(self.connections):
            connection.abort()
        self.tracer.close()
        for task in [*self._tasks, *([self._ticker] if self._ticker else [])]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.listeners.close()

    # --- for connections ---

    def schedule(self, connection: MQTTConnection) -> None:
        """Let the connection write its output at the end of this loop turn."""
        if not self._dirty:
            assert self._loop is not None
            self._loop.call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty = self._dirty
        self._dirty = []
        for connection in dirty:
            connection.flush()

    def leave(self, connection: MQTTConnection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self.gatekeeper.leave(connection)
        self._paused.discard(connection)
        if not self.connections:
            self._empty.set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run a connection's waiting as a task that ends with the server."""
        assert self._loop is not None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def recognise(self, grant: Grant, client_id: str, remote: str) -> None:
        """Pass a client that has shown who it is.

        Raises RefusedError if it is banned, or its identity has as many connections as it may.
        """
        session = self.broker.sessions.get(client_id)
        takes_over = (
            session is not None
            and session.link is not None
            and session.grant.identity == grant.identity
        )
        refusal = self.gatekeeper.recognise(
            _name(grant), client_id, time.monotonic(), takes_over=takes_over
        )
        if refusal is not None:
            raise RefusedError(refusal.reason, refusal.reason_code)

    def entered(self, connection: MQTTConnection, client: Client) -> None:
        """A connection's CONNECT was accepted."""
        self.gatekeeper.enter(connection, _name(client.grant), client.client_id, time.monotonic())

    def takeover_pause_s(self, client_id: str) -> float:
        """Count a take-over; return how long the newcomer waits, 0 unless two fight over the id."""
        now = time.monotonic()
        recent = [at for at in self._takeovers.get(client_id, ()) if now - at < FIGHT_WINDOW_S]
        recent.append(now)
        self._takeovers[client_id] = recent[-16:]
        return FIGHT_PAUSE_S if len(recent) > FIGHT_FREE else 0.0

    # --- flow ---

    def hold(self) -> None:
        """Stop reading from everyone: the road cannot take more. Devices keep their messages."""
        if not self._is_held:
            self._is_held = True
            for connection in self.connections:
                connection.pause()
                self._paused.add(connection)

    def hold_one(self, connection: MQTTConnection) -> None:
        """Hold a connection that came while everyone is held."""
        connection.pause()
        self._paused.add(connection)

    def resume(self) -> None:
        """Read again from everyone who was held."""
        if self._is_held:
            self._is_held = False
            paused, self._paused = self._paused, set()
            for connection in paused:
                connection.unpause()

    @property
    def is_held(self) -> bool:
        return self._is_held

    # --- time ---

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check(now)
            self.listeners.arrivals.check(now)
            self.broker.tick(time.time_ns() // 1000)
            for session, dropped in self.broker.take_overflowed():
                for observer in self.observers:
                    observer.overflowed(session.client_id, session.grant, dropped)
            self.gatekeeper.tick(now)
            for address, reason, left_out in self.refusals.take_overdue(now):
                log.warning("clients refused", remote=address, reason=reason, left_out=left_out)
            for client_id, stamps in list(self._takeovers.items()):
                if now - stamps[-1] > FIGHT_WINDOW_S:
                    del self._takeovers[client_id]

    # --- what connections tell ---

    def tell_connected(self, client: Client) -> None:
        for observer in self.observers:
            observer.connected(client)

    def tell_disconnected(self, client: Client, reason: str) -> None:
        self.broker.stats.disconnect(reason)
        if self.tracer.traces:
            self.tracer.disconnected(client, reason)
        for observer in self.observers:
            observer.disconnected(client, reason)

    def tell_listening(self, client: Client, topic_filter: str) -> None:
        for observer in self.observers:
            observer.listening(client, topic_filter)

    def tell_refused(self, client_id: str, identity: str, remote: str, reason: str) -> None:
        for observer in self.observers:
            observer.refused(client_id, identity, remote, reason)

    # --- Downlink ---

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        check_topic_name(topic)
        return self.broker.publish_own(Publish(topic, payload, qos, retain), time.time_ns() // 1000)

    def send_to_device(
        self,
        device: int,
        topic: str,
        payload: bytes,
        *,
        expires_at: int = 0,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
        properties: Properties | None = None,
    ) -> bool:
        return self.broker.send_to_device(
            device,
            Publish(topic, payload, 1, properties=properties),
            expires_at,
            delivered,
            lost,
            time.time_ns() // 1000,
        )

    def watch(
        self, topic_filter: str, qos: int, seen: Callable[[str, bytes, int], None]
    ) -> Callable[[], None]:
        check_topic_filter(topic_filter, self.broker.limits.topic_levels)
        watcher = Watcher(seen)
        self.broker.tree.add_taker(topic_filter, watcher)
        return lambda: self.broker.tree.remove_taker(topic_filter, watcher)

    def disconnect_device(self, device: int, reason: str) -> int:
        sessions = [s for s in self.broker.sessions.values() if s.grant.device == device]
        for session in sessions:
            self.broker.end(session, c.NOT_AUTHORIZED, reason, time.time_ns() // 1000)
        return len(sessions)

    def disconnect_credential(self, credential: int, reason: str) -> int:
        sessions = [
            s
            for s in self.broker.sessions.values()
            if s.grant.credential == credential and s.link is not None
        ]
        for session in sessions:
            if session.link is not None:
                session.link.close(c.NOT_AUTHORIZED, reason)
        return len(sessions)

    def disconnect_identity(self, identity: str, reason: str) -> int:
        sessions = [s for s in self.broker.sessions.values() if s.grant.identity == identity]
        for session in sessions:
            self.broker.end(session, c.NOT_AUTHORIZED, reason, time.time_ns() // 1000)
        return len(sessions)


def _name(grant: Grant) -> str:
    """Return the identity that limits count, "" for an anonymous client, which has none."""
    return "" if grant.anonymous else grant.identity
