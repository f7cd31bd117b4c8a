"""Subscription: one wish of one client, told from its beginning until it is ended.

A task takes parts and sends them, so it goes as fast as its client reads. A second one tells which
devices join and leave its groups and its query.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog

from fleetwire.errors import DomainError, StoreUnavailableError
from fleetwire.kit.services import Caller
from fleetwire.web.realtime.channel import Channel, TooSlowError, UnavailableError
from fleetwire.web.realtime.chunk import Part, part
from fleetwire.web.realtime.interest import DEVICES, RIGHTS, Wish, question
from fleetwire.web.realtime.reader import Reader
from fleetwire.web.realtime.rooms import Room, Seat
from fleetwire.web.realtime.selection import Selection

if TYPE_CHECKING:
    from fleetwire.web.realtime.hub import RealtimeHub

log = structlog.get_logger("fleetwire.realtime")

SEND_TIMEOUT_S = 60.0  # a client that takes nothing for so long is gone


class Subscription:
    """What a client hears under one name.

    `who` gives the caller as he is at that moment, `end` ends his connection, `only_app` is the app
    whose listener he came to.
    """

    def __init__(
        self,
        hub: "RealtimeHub",
        name: str,
        wish: Wish,
        selection: Selection | None,
        channel: Channel,
        *,
        who: Callable[[], Caller],
        end: Callable[[DomainError | None], None],
        only_app: str | None,
    ) -> None:
        self._hub = hub
        self._name = name
        self._wish = wish
        self._selection = selection
        self._channel = channel
        self._who = who
        self._end = end
        self._only_app = only_app
        reader = Reader(
            keeps_latest=wish.slow == "latest",
            buffer_events=hub.bounds.buffer_events,
            buffer_chars=hub.bounds.buffer_chars,
        )
        self._seat = Seat(hub.rooms, self._room(), reader)
        self._task = asyncio.create_task(self._run())
        # Not at the end of the task itself: one that is cancelled at once never begins.
        self._task.add_done_callback(self._forget)

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call this once nothing more will be sent."""
        self._task.add_done_callback(lambda _: callback())

    def stop(self) -> None:
        """Send nothing more from here on."""
        self._task.cancel()

    async def stopped(self) -> None:
        """Return once it keeps nothing more."""
        await asyncio.gather(self._task, return_exceptions=True)

    def change_rights(self) -> None:
        """Hear from now on what the caller may. Raises ForbiddenError if that is nothing of it."""
        if self._selection is not None:
            self._who().require(DEVICES)
        self._seat.move(self._room())

    def _forget(self, _: "asyncio.Task[None]") -> None:
        self._seat.leave()
        if self._selection is not None:
            self._selection.close()

    def _room(self) -> Room:
        caller, interest, selection = self._who(), self._wish.interest, self._selection
        rights = caller.permissions & RIGHTS
        return Room(
            caller.organization_id,
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

    async def _run(self) -> None:
        members: asyncio.Task[None] | None = None

        async def work() -> None:
            nonlocal members
            async with aclosing(self._parts()) as parts:
                async for told in parts:
                    is_begun = told.name not in ("subscribed", "snapshot")
                    if is_begun and members is None and self._selection is not None:
                        telling = self._tell_members(self._selection)
                        members = asyncio.create_task(self._ended_by(telling))
                    await self._send(told)
                    # Sending into a socket with room does not pause; others must get their turn.
                    await asyncio.sleep(0)

        try:
            await self._ended_by(work())
        finally:
            if members is not None:
                members.cancel()
                await asyncio.gather(members, return_exceptions=True)

    async def _ended_by(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this work; what goes wrong in it ends the connection."""
        try:
            await work
        except DomainError as error:
            self._end(error)
        except StoreUnavailableError:
            self._end(UnavailableError("The database does not answer. Connect again with since."))
        except TimeoutError:
            self._end(TooSlowError(f"Nothing was taken for {SEND_TIMEOUT_S:g} s."))
        except ConnectionError:
            self._end(None)
        except Exception as error:
            log.error("a subscription failed", actor=self._who().actor, exc_info=error)
            self._end(UnavailableError("Something failed on our side. Connect again with since."))

    async def _send(self, told: Part) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._channel.send(self._name, told)

    async def _parts(self) -> AsyncGenerator[Part, None]:
        wish, rooms = self._wish, self._hub.rooms
        await rooms.settle()
        top = await rooms.history.newest()
        yield part("subscribed", cursor=top)
        if wish.wants_snapshot:
            pages = self._hub.snapshots.pages(self._who, wish, self._selection, self._only_app)
            async with aclosing(pages):
                async for devices in pages:
                    yield part("snapshot", devices=devices)
        since = top if wish.since is None else wish.since
        async with aclosing(rooms.follow(self._seat, since, top)) as parts:
            async for told in parts:
                yield told

    async def _tell_members(self, selection: Selection) -> None:
        """Tell which devices join and leave the groups and the query."""
        snapshots, wish = self._hub.snapshots, self._wish
        while True:
            joined, left = (
                [each for each in devices if snapshots.is_meant(each, wish, self._only_app)]
                for devices in await selection.changes()
            )
            async with aclosing(snapshots.of(self._who, joined)) as pages:
                async for shown in pages:
                    await self._send(part("members", joined=shown, left=[]))
            if left:
                names = [{"app": each.app, "device_id": each.device_id} for each in left]
                await self._send(part("members", joined=[], left=names))
