"""Spaces: who is connected to the apps' Socket.IO namespaces, and in which rooms."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from fleetwire.errors import (
    DomainError,
    StoreUnavailableError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.kit.services import Caller
from fleetwire.kit.sockets import SocketClient, Sockets, SocketSpace
from fleetwire.web.realtime.access import Access
from fleetwire.web.realtime.channel import UnavailableError
from fleetwire.web.realtime.member import RECHECK_TIMEOUT_S, Member
from fleetwire.web.realtime.outbox import Outbox, Waiting
from fleetwire.web.visits import host_of

MOST_ROOMS = 1_000  # of one client

Place = tuple[SocketSpace, int, str]  # space, organisation, room


class Spaces(Sockets):
    """All rooms of all spaces."""

    def __init__(self) -> None:
        self._clients: dict[SocketSpace, dict[SpaceClient, None]] = {}
        self._rooms: dict[Place, dict[SpaceClient, None]] = {}

    def emit(
        self,
        space: SocketSpace,
        event: str,
        data: Any,
        *,
        organization_id: int,
        room: str,
        key: str | None = None,
        must_arrive: bool = False,
    ) -> int:
        """Send an event to all in a room; return how many they are."""
        members = self._rooms.get((space, organization_id, room))
        if not members:
            return 0
        waiting = Waiting(event, msgspec.json.encode(data), key, must_arrive, room)
        for client in list(members):
            client.put(waiting)
        return len(members)

    def clients(self, space: SocketSpace, organization_id: int) -> Sequence[SocketClient]:
        """Return who is connected to a space and belongs to an organisation."""
        found = self._clients.get(space, {})
        return [each for each in found if each.caller.organization_id == organization_id]

    def add(self, client: "SpaceClient") -> None:
        """Count a client among those who are connected."""
        self._clients.setdefault(client.space, {})[client] = None

    def remove(self, client: "SpaceClient") -> None:
        """Forget a client that has gone, and his rooms."""
        self._clients.get(client.space, {}).pop(client, None)
        for place in client.places:
            self.leave(client, place)

    def enter(self, client: "SpaceClient", place: Place) -> None:
        """Put a client into a room."""
        self._rooms.setdefault(place, {})[client] = None

    def leave(self, client: "SpaceClient", place: Place) -> None:
        """Take a client out of a room; an empty room is no more."""
        members = self._rooms[place]
        members.pop(client, None)
        if not members:
            del self._rooms[place]


class SpaceClient(SocketClient, Member):
    """One client. `ended` is done with an error, or None, once it may not or cannot go on."""

    def __init__(
        self,
        spaces: Spaces,
        space: SocketSpace,
        client_id: str,
        access: Access,
        caller: Caller,
        auth: Mapping[str, Any],
        outbox: Outbox,
        remote: str,
    ) -> None:
        self.id = client_id
        self.caller = caller
        self.remote = remote
        # Nobody in particular is counted by where he comes from.
        self.actor = f"anonymous {host_of(remote)}" if caller.is_anonymous else caller.actor
        self.auth = auth
        self.state = {}
        self.space = space
        self.outbox = outbox
        self.places: set[Place] = set()
        self.turn = asyncio.Lock()  # his events are handled one at a time, in order
        self.queued = 0  # of his events, how many wait for that
        self.ended: asyncio.Future[DomainError | None] = asyncio.get_running_loop().create_future()
        self.rights_changed: Callable[[SpaceClient], Awaitable[None]] | None = None
        self._spaces = spaces
        self._access = access

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(room for _, _, room in self.places)

    def enter(self, room: str, *, organization_id: int | None = None) -> None:
        of = self.caller.organization_id if organization_id is None else organization_id
        place = (self.space, of, room)
        if self.ended.done() or place in self.places:
            return
        if len(self.places) >= MOST_ROOMS:
            raise TooManyError(f"A client is in at most {MOST_ROOMS} rooms.")
        self.places.add(place)
        self._spaces.enter(self, place)

    def leave(self, room: str) -> None:
        for place in [each for each in self.places if each[2] == room]:
            self.places.remove(place)
            self._spaces.leave(self, place)
        self.outbox.take_back(lambda waiting: waiting.room == room)

    def take_back(self, is_meant: Callable[[str], bool]) -> None:
        self.outbox.take_back(lambda waiting: waiting.key is not None and is_meant(waiting.key))

    def emit(
        self, event: str, data: Any, *, key: str | None = None, must_arrive: bool = False
    ) -> None:
        self.put(Waiting(event, msgspec.json.encode(data), key, must_arrive))

    async def settled(self) -> bool:
        idle = asyncio.ensure_future(self.outbox.idle.wait())
        either: list[asyncio.Future[Any]] = [idle, self.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
        return not self.ended.done()

    def put(self, waiting: Waiting) -> None:
        """Let an event wait to be sent; a client that is too slow for it is ended."""
        if self.ended.done():
            return
        try:
            self.outbox.put(waiting)
        except DomainError as error:
            self.end(error)

    def end(self, error: DomainError | None = None) -> None:
        """End it, with a reason; it hears nothing more from now on."""
        if self.ended.done():
            return
        self._spaces.remove(self)
        self.places.clear()
        self.ended.set_result(error)

    async def recheck(self) -> None:
        """Ask again who this is; end it, or tell the app of what has changed."""
        try:
            async with asyncio.timeout(RECHECK_TIMEOUT_S):
                caller = await self._access.caller()
                if caller.organization_id != self.caller.organization_id:
                    raise UnauthenticatedError("Your organisation has changed. Connect again.")
                if caller == self.caller:
                    return
                self.caller = caller
                if self.rights_changed is not None:
                    await self.rights_changed(self)
        except DomainError as error:
            self.end(error)
        except (TimeoutError, StoreUnavailableError):
            self.end(UnavailableError("Your access cannot be checked just now. Connect again."))
