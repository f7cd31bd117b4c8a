"""Bridges: all bridges of one server."""

import asyncio
import contextlib
import time
from typing import Any

import structlog

from fleetwire.broker.broker import Broker
from fleetwire.broker.grants import Grant
from fleetwire.errors import SettingsError
from fleetwire.net.bridge.bridge import Bridge
from fleetwire.net.bridge.local import IDENTITY, LocalSessionError
from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.bridge.secure import context_of
from fleetwire.net.bridge.status import CONNECTED, BridgeStatus, Retry
from fleetwire.net.clients import ClientObserver
from fleetwire.net.external.plan import SOURCE, SourcePlan
from fleetwire.net.external.source import ExternalSource
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish

log = structlog.get_logger("fleetwire.bridge")

QUEUE_FULL = "queue full"


class Bridges(ClientObserver):
    """Starts, stops and shows them.

    Whether one is connected is published, retained, as `$SYS/broker/connection/NAME/state`: 1 or 0.
    """

    def __init__(
        self,
        plans: tuple[BridgePlan, ...],
        broker: Broker,
        server_id: str,
        *,
        maximum_packet_size: int = 1024 * 1024,
        retry: Retry | None = None,
    ) -> None:
        self._broker = broker
        self._tasks: list[asyncio.Task[None]] = []
        self._bridges = {
            plan.name: _make(
                plan,
                broker,
                server_id,
                maximum_packet_size=maximum_packet_size,
                retry=retry,
                told=self._publish_state,
            )
            for plan in plans
        }

    def status(self) -> list[BridgeStatus]:
        """Return how each bridge is, in the order of the settings."""
        return [bridge.status for bridge in self._bridges.values()]

    @property
    def source(self) -> ExternalSource | None:
        """The broker where devices are, if it is an external one."""
        found = self._bridges.get(SOURCE)
        return found if isinstance(found, ExternalSource) else None

    def start(self) -> None:
        """Begin to gather and to connect. Call it once the broker's state is restored.

        Raises SettingsError for what a person must change.
        """
        self._end_forgotten()
        if self._bridges and not self._broker.limits.session_expiry_s:
            raise SettingsError(
                "A bridge needs sessions that last: set broker.session_expiry_s above 0, "
                "or remove the bridges."
            )
        for bridge in self._bridges.values():
            if bridge.plan.is_tls:
                context_of(bridge.plan)
            try:
                bridge.attach()
            except LocalSessionError as error:
                raise SettingsError(f"{bridge.plan.title}: {error}") from None
            self._publish_state(bridge)
        for name, bridge in self._bridges.items():
            self._tasks.append(asyncio.create_task(bridge.run(), name=f"bridge {name}"))

    def _end_forgotten(self) -> None:
        """End the sessions of bridges that the settings do not name any more."""
        for session in list(self._broker.sessions.values()):
            identity = session.grant.identity
            if not identity.startswith(IDENTITY) or identity[len(IDENTITY) :] in self._bridges:
                continue
            log.warning(
                "bridge is gone from the settings; what waited for it is dropped",
                bridge=identity[len(IDENTITY) :],
                queued=len(session.queue) + len(session.inflight),
            )
            self._broker.end(session, c.ADMINISTRATIVE_ACTION, "bridge removed", _now())

    def hold(self) -> None:
        """Read nothing more from the other sides for now."""
        for bridge in self._bridges.values():
            bridge.hold(True)

    def resume(self) -> None:
        """Read again."""
        for bridge in self._bridges.values():
            bridge.hold(False)

    async def close(self) -> None:
        """Close all connections; what waits, waits for the next start."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        await asyncio.gather(*[bridge.close() for bridge in self._bridges.values()])

    def overflowed(self, client_id: str, grant: Grant, dropped: int) -> None:
        bridge = self._bridges.get(grant.identity.removeprefix(IDENTITY))
        if bridge is not None and grant.identity.startswith(IDENTITY):
            bridge.counts.drop(QUEUE_FULL, dropped)

    def _publish_state(self, bridge: Bridge) -> None:
        status = bridge.status
        state = b"1" if status.state == CONNECTED else b"0"
        topic_name = f"$SYS/broker/connection/{status.name}/state"
        self._broker.publish_own(Publish(topic_name, state, 1, True), _now())


def _make(plan: BridgePlan, *arguments: Any, **more: Any) -> Bridge:
    if isinstance(plan, SourcePlan):
        return ExternalSource(plan, *arguments, **more)
    return Bridge(plan, *arguments, **more)


def _now() -> int:
    return time.time_ns() // 1000
