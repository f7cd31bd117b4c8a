"""Bridge: topics to and from one other broker.

    local session  <- packets, topics mapped ->  connection to the other broker

Theory of operation. The bridge joins two ends that speak the same protocol (`crossing`): a
persistent session of this broker, which behaves as a server towards it (`local`), and the other
broker, towards which it is a client (`remote`). So a message that goes out is acknowledged here
when the other side acknowledges it, one that comes in is acknowledged there when it is stored here,
and the exchange of a QoS 2 message goes on with the same packet identifier after any interruption,
also of this process: what must be remembered for that, the journal remembers for every session.

Between two connections the session gathers, within its bounds, what is to go out.

Does not: pass on what has QoS 0 while the other side is away (it is counted), or merge duplicates
that reach a broker by two ways.
"""

import asyncio
import math
import random
from collections.abc import Callable

import structlog

from fleetwire.broker.broker import NEVER, Broker
from fleetwire.errors import FleetwireError
from fleetwire.net.bridge.crossing import RECEIVE_MAXIMUM, Crossing
from fleetwire.net.bridge.local import LocalSession, LocalSessionError
from fleetwire.net.bridge.loops import id_of_address
from fleetwire.net.bridge.mapping import Mapping
from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.bridge.remote import Remote
from fleetwire.net.bridge.status import (
    AWAY,
    CONNECTED,
    CONNECTING,
    BridgeStatus,
    Counts,
    Retry,
    State,
)
from fleetwire.net.dialing import ConnectionRefusedByServerError, UnreachableError
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Connack, Connect

log = structlog.get_logger("fleetwire.bridge")

KEEP_ALIVE_S = 60
CONNECT_TIMEOUT_S = 10.0
SUBACK_TIMEOUT_S = 10.0
STABLE_S = 10.0  # a connection that lasted so long starts the waiting times anew


class BridgeLostError(FleetwireError):
    """The connection ended while it was being set up."""


class Bridge:
    """One bridge of the settings. `server_id` is who this server is in lists of hops.

    `told` is called when the state has changed.
    """

    title = "bridge"  # how the log calls it
    keep_alive_s = KEEP_ALIVE_S

    def __init__(
        self,
        plan: BridgePlan,
        broker: Broker,
        server_id: str,
        *,
        maximum_packet_size: int = 1024 * 1024,
        retry: Retry | None = None,
        told: Callable[["Bridge"], None] | None = None,
    ) -> None:
        self.plan = plan
        self.counts = Counts()
        self._server_id = server_id
        self._remote_id = id_of_address(plan.host, plan.port)
        self._maximum_packet_size = maximum_packet_size
        self._retry = retry if retry is not None else Retry()
        self._told = told
        self._mapping = Mapping(plan.topics)
        self._local = LocalSession(
            broker,
            plan.name,
            self._mapping.incoming_filters,
            self._mapping.local_filters,
            self._session_ended,
        )
        self._state: State = AWAY
        self._since = 0  # microseconds UTC
        self._reason = "not started"
        self._version = c.V311 if plan.version == "3.1.1" else c.V5
        self._is_subscribed = False  # the other side's session has our subscriptions
        self._is_held = False
        self._crossing: Crossing | None = None

    # --- life ---

    @property
    def status(self) -> BridgeStatus:
        """How it is."""
        is_connected = self._state == CONNECTED
        return BridgeStatus(
            name=self.plan.name,
            url=self.plan.url,
            state=self._state,
            since_at=self._since,
            reason="" if is_connected else self._reason,
            protocol=("5.0" if self._version == c.V5 else "3.1.1") if is_connected else None,
            queued=self._local.queued,
            counts=self.counts,
        )

    def attach(self) -> None:
        """Begin to gather what is to go out. Raises LocalSessionError."""
        self._local.attach(None, 1)

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        failures = 0
        while True:
            connected_at = math.inf  # on the loop's clock
            self._enter(CONNECTING, self._reason)
            try:
                crossing = await self._connect()
                self._enter(CONNECTED, "")
                connected_at = asyncio.get_running_loop().time()
                reason = await asyncio.shield(crossing.remote.ended)  # `close` waits for it too
            except (FleetwireError, OSError) as error:
                reason = str(error)
            except Exception as error:
                # Whatever it is, the others go on, and so do we.
                log.exception("bridge failed", bridge=self.plan.name)
                reason = f"an error of this server: {error!r}"
            if asyncio.get_running_loop().time() - connected_at > STABLE_S:
                failures = 0
            self._leave()
            self._enter(AWAY, reason)
            failures += 1
            await asyncio.sleep(self._retry.pause_s(failures, random.random()))

    async def close(self) -> None:
        """Say goodbye to the other side, and let the session wait for the next start."""
        if self._crossing is not None:
            await self._crossing.remote.close()
        self._leave()
        self._local.detach()

    def hold(self, is_held: bool) -> None:
        """Stop, or begin again, to read: this server can take no more."""
        self._is_held = is_held
        if self._crossing is not None:
            self._crossing.hold(is_held)

    def _enter(self, state: State, reason: str) -> None:
        was, before = self._state, self._reason
        self._state, self._reason = state, reason
        if state != was:
            self._since = self.counts.now()
        about = {"bridge": self.plan.name, "url": self.plan.url}
        if state == CONNECTED:
            log.info(f"{self.title} connected", **about, protocol=self.status.protocol)
        elif state == AWAY and (was == CONNECTED or reason != before):
            log.warning(f"{self.title} away", **about, reason=reason, queued=self._local.queued)
        if self._told is not None and CONNECTED in (state, was):
            self._told(self)

    def _session_ended(self, reason: str) -> None:
        """Somebody has ended the session or its link."""
        if self._crossing is not None:
            self._crossing.remote.end(reason)
        # Not now: whoever does it is in the middle of it.
        asyncio.get_running_loop().call_soon(self._attach_again)

    def _attach_again(self) -> None:
        if self._crossing is None:
            try:
                self.attach()
            except LocalSessionError as error:
                log.error("bridge has no session", bridge=self.plan.name, reason=str(error))

    def _leave(self) -> None:
        """The connection is over: gather until there is another one."""
        crossing, self._crossing = self._crossing, None
        if crossing is not None:
            crossing.end()
            self._attach_again()

    # --- a connection ---

    async def _connect(self) -> Crossing:
        """Return a connection over which everything goes. Raises FleetwireError."""
        remote, connack = await self._open()
        crossing = self._crossing = self._join(remote, connack)
        self._is_subscribed = False
        crossing.begin()
        done, _ = await asyncio.wait(
            (crossing.granted, remote.ended),
            timeout=SUBACK_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if remote.ended in done:
            raise BridgeLostError(remote.ended.result())
        if not done:
            raise BridgeLostError("the other side did not answer SUBSCRIBE")
        self._is_subscribed = True
        return crossing

    def _join(self, remote: Remote, connack: Connack) -> Crossing:
        """Return what joins a new connection to the session here."""
        return Crossing(
            self.plan.name,
            remote,
            connack,
            self._local,
            self._mapping,
            self.counts,
            self._server_id,
            self._remote_id,
            subscribed=self._is_subscribed,
            held=self._is_held,
        )

    async def _open(self) -> tuple[Remote, Connack]:
        """Open a connection, in MQTT 5 if it can be, else 3.1.1."""
        if self.plan.version != "auto" or self._version != c.V5:
            try:
                return await self._dial(self._version)
            except FleetwireError:
                if self.plan.version == "auto":
                    self._version = c.V5  # it may be another one by now
                raise
        try:
            return await self._dial(c.V5)
        except ConnectionRefusedByServerError as error:
            if error.reason_code != c.UNSUPPORTED_PROTOCOL_VERSION:
                raise
        except UnreachableError as error:
            if error.cause != "closed":
                raise
            # Old servers close when they read a version they do not know, or answer in 3.1.1.
        found = await self._dial(c.V311)
        self._version = c.V311
        return found

    async def _dial(self, version: int) -> tuple[Remote, Connack]:
        plan = self.plan
        connect = Connect(
            version,
            plan.client_id or f"fw-{self._server_id[:8]}-{plan.name}",
            False,
            self.keep_alive_s,
            plan.username,
            None if plan.password is None else plan.password.encode(),
        )
        if version == c.V5:
            connect.properties = {
                c.SESSION_EXPIRY_INTERVAL: NEVER,
                c.RECEIVE_MAXIMUM: RECEIVE_MAXIMUM,
                c.MAXIMUM_PACKET_SIZE: self._maximum_packet_size,
            }
        remote = Remote(connect, self._maximum_packet_size)
        return remote, await remote.open(plan, CONNECT_TIMEOUT_S)
