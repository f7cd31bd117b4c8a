"""RealtimeHub: the connections of all channels, and what happens when rights change."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from fleetwire.errors import TooManyError
from fleetwire.features.devices.membership import Memberships
from fleetwire.kit.app import App
from fleetwire.kit.services import Audit, Devices, Telemetry
from fleetwire.web.realtime.access import Access
from fleetwire.web.realtime.channel import Channel, UnavailableError
from fleetwire.web.realtime.connection import Connection
from fleetwire.web.realtime.member import Member
from fleetwire.web.realtime.snapshot import Snapshots
from fleetwire.web.realtime.stream import LiveStream

log = structlog.get_logger("fleetwire.realtime")

SWEEP_S = 5.0  # tokens expire without anybody being told
SWEEP_TURN = 50  # connections asked before others get their turn


@dataclass(frozen=True)
class Bounds:
    """What readers may take up."""

    connections: int = 10_000
    connections_per_identity: int = 100
    subscriptions: int = 32  # of one connection
    buffer_events: int = 10_000  # of one subscription; past it the reader is coalesced
    buffer_chars: int = 8 * 1024 * 1024


class RealtimeHub:
    """Everybody who follows events on the channels, of whichever listener."""

    def __init__(
        self,
        stream: LiveStream,
        devices: Devices,
        telemetry: Telemetry,
        audit: Audit,
        apps: Mapping[str, App],
        memberships: Memberships,
        *,
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.rooms = stream.rooms
        self.memberships = memberships
        self.readings_events = {
            name: app.readings_event for name, app in apps.items() if app.readings_event
        }
        self.snapshots = Snapshots(devices, telemetry, tuple(apps))
        self._stream = stream
        self._audit = audit
        self.open: dict[Member, None] = {}  # in the order they came
        self._by_actor: dict[str, int] = {}
        self._all_due = False
        self._due: set[str] = set()
        self._organizations_due: set[int] = set()
        self._wake = asyncio.Event()
        self._rechecks: set[asyncio.Task[None]] = set()

    async def connect(
        self, access: Access, channel: Channel, name: str, only_app: str | None = None
    ) -> Connection:
        """Let a client in on the channel of this name; `Connection.close` must follow.

        With `only_app` nothing but that app's events and devices are there for it.

        Raises UnauthenticatedError, ForbiddenError, TooManyError.
        """
        connection = Connection(self, access, await access.caller(), channel, only_app)
        await self.enter(connection, name, only_app)
        return connection

    async def enter(
        self, member: Member, name: str, only_app: str | None = None, namespace: str = ""
    ) -> None:
        """Count somebody in whose rights are asked again from now on; `forget` must follow.

        Raises TooManyError.
        """
        count = self._by_actor.get(member.actor, 0)
        if count >= self.bounds.connections_per_identity:
            raise TooManyError(f"You have {count} connections open, which is the most.")
        if len(self.open) >= self.bounds.connections:
            raise TooManyError(f"{len(self.open)} are connected, which is the most.")
        self._by_actor[member.actor] = count + 1
        self.open[member] = None
        if member.caller.is_anonymous:
            return  # nobody in particular: there is no organisation whose record it would be
        detail = {"channel": name} | ({} if only_app is None else {"app": only_app})
        detail |= {"namespace": namespace} if namespace else {}
        try:
            await self._audit.record(member.caller, "realtime.connected", detail=detail)
        except BaseException:
            self.forget(member)
            raise

    def forget(self, member: Member) -> None:
        """Take a closed connection off the books."""
        if member not in self.open:
            return
        del self.open[member]
        actor = member.actor
        left = self._by_actor[actor] - 1
        if left:
            self._by_actor[actor] = left
        else:
            del self._by_actor[actor]

    # --- when rights change ---

    def recheck(self, identity: str | None = None) -> None:
        """Ask again who these are: `account:17`, `key:5`, or everybody. On the event loop."""
        if identity is None:
            self._all_due = True
        else:
            self._due.add(identity)
        self._stream.recheck(lambda caller: identity is None or caller.is_identity(identity))
        self._wake.set()

    def recheck_organization(self, organization_id: int) -> None:
        """Ask again everybody of an organisation."""
        self._organizations_due.add(organization_id)
        self._stream.recheck(lambda caller: caller.organization_id == organization_id)
        self._wake.set()

    async def run(self) -> None:
        """Recheck what is due at once, and everybody now and then; for ever."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            except TimeoutError:
                self._all_due = True
            self._wake.clear()
            all_due, self._all_due = self._all_due, False
            due, self._due = self._due, set()
            organizations, self._organizations_due = self._organizations_due, set()
            concerned = [
                connection
                for connection in self.open
                if all_due
                or connection.caller.organization_id in organizations
                or any(connection.caller.is_identity(identity) for identity in due)
            ]
            # Not awaited: an issuer whose keys are slow to come must not delay others.
            task = asyncio.create_task(_recheck(concerned))
            self._rechecks.add(task)
            task.add_done_callback(self._rechecks.discard)

    def close(self) -> None:
        """End every connection: the server stops, and they go on with another one."""
        for connection in list(self.open):
            connection.end(UnavailableError("The server stops. Connect again with since."))


async def _recheck(connections: list[Member]) -> None:
    for start in range(0, len(connections), SWEEP_TURN):
        turn = connections[start : start + SWEEP_TURN]
        await asyncio.gather(*(connection.recheck() for connection in turn))
