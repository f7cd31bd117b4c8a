"""Connection: one reader's subscriptions, the same on every channel.

Each subscription is a task that takes parts and sends them, so it goes as fast as its client reads.
When the rights of its identity change, the credential is asked again: a connection that may not go
on is ended with the reason, one that may see less goes on with less.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog

from fleetwire.errors import (
    ConflictError,
    DomainError,
    InvalidValueError,
    StoreUnavailableError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.kit.services import Caller
from fleetwire.web.realtime.access import Access
from fleetwire.web.realtime.chunk import Part, part
from fleetwire.web.realtime.interest import DEVICES, RIGHTS, Wish, question
from fleetwire.web.realtime.reader import Reader
from fleetwire.web.realtime.rooms import Room, Seat
from fleetwire.web.realtime.selection import Selection

if TYPE_CHECKING:
    from fleetwire.web.realtime.hub import RealtimeHub

log = structlog.get_logger("fleetwire.realtime")

SEND_TIMEOUT_S = 60.0  # a client that takes nothing for so long is gone
RECHECK_TIMEOUT_S = 5.0  # keys of other issuers may have to be fetched
MAX_NAME_CHARS = 64


class UnavailableError(DomainError):
    """The connection cannot go on now; with its last cursor another one can."""

    status = 503


class TooSlowError(DomainError):
    """The client did not take what was sent."""

    status = 408


class Channel(ABC):
    """How parts reach one client."""

    @abstractmethod
    async def send(self, subscription: str | None, part: Part) -> None:
        """Send a part of a subscription, or of the connection (None).

        Returns when there is room for more. Raises ConnectionError if the client has gone.
        """


class Subscription:
    """What one subscription hears, and the task that sends it."""

    def __init__(self, wish: Wish, seat: Seat, selection: Selection | None) -> None:
        self.wish = wish
        self.seat = seat
        self.selection = selection
        self.task: asyncio.Task[None] | None = None

    def over(self) -> None:
        """Keep nothing for it any more."""
        self.seat.leave()
        if self.selection is not None:
            self.selection.close()


class Connection:
    """One client. `ended` is done with an error, or None, once it may not or cannot go on."""

    def __init__(
        self,
        hub: "RealtimeHub",
        access: Access,
        caller: Caller,
        channel: Channel,
        only_app: str | None = None,
    ) -> None:
        """`only_app` is the app whose listener it came to; None = the platform's."""
        self.caller = caller
        self.actor = caller.actor
        self.ended: asyncio.Future[DomainError | None] = asyncio.get_running_loop().create_future()
        self._hub = hub
        self._access = access
        self._channel = channel
        self._only_app = only_app
        self._subscriptions: dict[str, Subscription] = {}
        self._opening: set[str] = set()  # names of subscriptions whose devices are asked for

    async def subscribe(self, name: str, wish: Wish) -> None:
        """Begin to send what is wished, under this name.

        Raises InvalidValueError, ForbiddenError, NotFoundError, ConflictError, TooManyError,
        UnavailableError.
        """
        if self.ended.done():
            return
        if len(name) > MAX_NAME_CHARS:
            raise InvalidValueError(f"A name has at most {MAX_NAME_CHARS} characters.", field="id")
        if name in self._subscriptions or name in self._opening:
            raise ConflictError(f"There is a subscription {name!r} already.", field="id")
        most = self._hub.bounds.subscriptions
        if len(self._subscriptions) + len(self._opening) >= most:
            raise TooManyError(f"A connection has at most {most} subscriptions.")
        self._hub.snapshots.check(self.caller, wish, self._only_app)
        self._opening.add(name)
        try:
            selection = await self._select(wish)
        finally:
            self._opening.discard(name)
        if self.ended.done():
            if selection is not None:
                selection.close()
            return
        reader = Reader(
            keeps_latest=wish.slow == "latest",
            buffer_events=self._hub.bounds.buffer_events,
            buffer_chars=self._hub.bounds.buffer_chars,
        )
        seat = Seat(self._hub.rooms, self._room(wish, selection), reader)
        subscription = self._subscriptions[name] = Subscription(wish, seat, selection)
        task = subscription.task = asyncio.create_task(self._run(name, subscription))

        def over(_: asyncio.Task[None]) -> None:
            subscription.over()
            del self._subscriptions[name]

        # Not at the end of the task itself: one that is cancelled at once never begins.
        task.add_done_callback(over)

    async def _select(self, wish: Wish) -> Selection | None:
        """Return the devices that its groups and query mean; None = there are none of these."""
        if not wish.groups and wish.query is None:
            return None
        self.caller.require(DEVICES)  # as for everybody who asks which devices a query means
        selection = Selection(self._hub.memberships, wish)
        try:
            await selection.open(self.caller.organization_id)
        except StoreUnavailableError:
            raise UnavailableError("The database does not answer. Try again.") from None
        return selection

    async def unsubscribe(self, name: str) -> None:
        """End a subscription; one that is not there is ended already."""
        subscription = self._subscriptions.get(name)
        if subscription is not None and subscription.task is not None:
            subscription.task.cancel()
            await asyncio.gather(subscription.task, return_exceptions=True)

    async def recheck(self) -> None:
        """Ask again who this is and what he may see; end, narrow or widen accordingly."""
        try:
            async with asyncio.timeout(RECHECK_TIMEOUT_S):
                caller = await self._access.caller()
        except DomainError as error:
            self.end(error)
            return
        except (TimeoutError, StoreUnavailableError):
            self.end(UnavailableError("Your access cannot be checked just now. Connect again."))
            return
        if caller.organization_id != self.caller.organization_id:
            self.end(UnauthenticatedError("Your organisation has changed. Connect again."))
            return
        has_changed = caller.permissions & RIGHTS != self.caller.permissions & RIGHTS
        self.caller = caller
        if not has_changed:
            return
        names = list(self._subscriptions)
        try:
            for subscription in self._subscriptions.values():
                if subscription.selection is not None:
                    caller.require(DEVICES)
                subscription.seat.move(self._room(subscription.wish, subscription.selection))
        except DomainError as error:
            self.end(error)
            return
        told = part("rights", permissions=sorted(caller.permissions & RIGHTS))
        try:
            async with asyncio.timeout(RECHECK_TIMEOUT_S):
                for name in names:
                    await self._channel.send(name, told)
        except (TimeoutError, ConnectionError):
            return  # it hears no more than it may; its own task finds out the rest

    def end(self, error: DomainError | None = None) -> None:
        """Say that it is over; whoever serves the client closes it then."""
        for subscription in self._subscriptions.values():
            if subscription.task is not None:
                subscription.task.cancel()  # from here on nothing more is sent
        if not self.ended.done():
            self.ended.set_result(error)

    async def close(self) -> None:
        """Forget the client and everything kept for it."""
        self.end()
        tasks = [each.task for each in self._subscriptions.values() if each.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hub.forget(self)

    def _room(self, wish: Wish, selection: Selection | None) -> Room:
        interest, rights = wish.interest, self.caller.permissions & RIGHTS
        return Room(
            self.caller.organization_id,
            (interest, rights, self._only_app),
            question(
                interest,
                rights,
                self._hub.readings_events,
                only_app=self._only_app,
                is_selected=None if selection is None else selection.holds,
            ),
            self._hub.rooms.encoder.frame,
            app=self._only_app,
            device_ids=frozenset(
                device_id
                for name in interest.devices
                for device_id in (name, name.partition("/")[2])
                if device_id
            ),
        )

    async def _run(self, name: str, subscription: Subscription) -> None:
        members: asyncio.Task[None] | None = None

        async def send() -> None:
            nonlocal members
            async with aclosing(self._parts(subscription)) as parts:
                async for told in parts:
                    if members is None and told.name not in ("subscribed", "snapshot"):
                        telling = self._ended_by(self._tell_members(name, subscription))
                        members = asyncio.create_task(telling)
                    await self._send(name, told)
                    # Sending into a socket with room does not pause; others must get their turn.
                    await asyncio.sleep(0)

        try:
            await self._ended_by(send())
        finally:
            if members is not None:
                members.cancel()
                await asyncio.gather(members, return_exceptions=True)

    async def _ended_by(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work of a subscription; what goes wrong in it ends the connection."""
        try:
            await work
        except DomainError as error:
            self.end(error)
        except StoreUnavailableError:
            self.end(UnavailableError("The database does not answer. Connect again with since."))
        except TimeoutError:
            self.end(TooSlowError(f"Nothing was taken for {SEND_TIMEOUT_S:g} s."))
        except ConnectionError:
            self.end()
        except Exception as error:
            log.error("a subscription failed", actor=self.caller.actor, exc_info=error)
            self.end(UnavailableError("Something failed on our side. Connect again with since."))

    async def _send(self, name: str, told: Part) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._channel.send(name, told)

    async def _parts(self, subscription: Subscription) -> AsyncGenerator[Part, None]:
        wish, hub = subscription.wish, self._hub
        await hub.rooms.settle()
        top = await hub.rooms.history.newest()
        yield part("subscribed", cursor=top)
        if wish.wants_snapshot:
            pages = hub.snapshots.pages(
                lambda: self.caller, wish, subscription.selection, self._only_app
            )
            async with aclosing(pages):
                async for devices in pages:
                    yield part("snapshot", devices=devices)
        since = top if wish.since is None else wish.since
        async with aclosing(hub.rooms.follow(subscription.seat, since, top)) as parts:
            async for told in parts:
                yield told

    async def _tell_members(self, name: str, subscription: Subscription) -> None:
        """Tell which devices join and leave the groups and the query."""
        selection, wish = subscription.selection, subscription.wish
        if selection is None:
            return
        snapshots = self._hub.snapshots
        while True:
            joined, left = await selection.changes()
            joined = [each for each in joined if snapshots.is_meant(each, wish, self._only_app)]
            names = [
                {"app": each.app, "device_id": each.device_id}
                for each in left
                if snapshots.is_meant(each, wish, self._only_app)
            ]
            shown = snapshots.of(lambda: self.caller, joined)
            async with aclosing(shown):
                async for devices in shown:
                    await self._send(name, part("members", joined=devices, left=[]))
            if names:
                await self._send(name, part("members", joined=[], left=names))
