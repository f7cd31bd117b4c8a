"""Connection: one reader's subscriptions, the same on every channel.

When the rights of its identity change, the credential is asked again: a connection that may not go
on is ended with the reason, one that may see less goes on with less.
"""

import asyncio
from typing import TYPE_CHECKING

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
from fleetwire.web.realtime.channel import Channel, UnavailableError
from fleetwire.web.realtime.chunk import part
from fleetwire.web.realtime.interest import DEVICES, RIGHTS, Wish
from fleetwire.web.realtime.member import RECHECK_TIMEOUT_S, Member
from fleetwire.web.realtime.selection import Selection
from fleetwire.web.realtime.subscription import Subscription

if TYPE_CHECKING:
    from fleetwire.web.realtime.hub import RealtimeHub

MAX_NAME_CHARS = 64


class Connection(Member):
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
        self._opening: dict[str, Wish] = {}  # those whose devices are being asked for

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
        self._opening[name] = wish
        try:
            selection = await self._select(wish)
            is_wanted = self._opening.get(name) is wish and not self.ended.done()
        finally:
            if self._opening.get(name) is wish:
                del self._opening[name]
        if not is_wanted:
            if selection is not None:
                selection.close()
            return
        subscription = Subscription(
            self._hub,
            name,
            wish,
            selection,
            self._channel,
            who=lambda: self.caller,
            end=self.end,
            only_app=self._only_app,
        )
        self._subscriptions[name] = subscription
        subscription.when_over(lambda: self._forget(name))

    def _forget(self, name: str) -> None:
        del self._subscriptions[name]

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
        if DEVICES not in self.caller.permissions:  # any more
            selection.close()
            self.caller.require(DEVICES)
        return selection

    async def unsubscribe(self, name: str) -> None:
        """End a subscription; one that is not there is ended already."""
        self._opening.pop(name, None)
        subscription = self._subscriptions.get(name)
        if subscription is not None:
            subscription.stop()
            await subscription.stopped()

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
                subscription.change_rights()
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
            subscription.stop()
        if not self.ended.done():
            self.ended.set_result(error)

    async def close(self) -> None:
        """Forget the client and everything kept for it."""
        self.end()
        for subscription in list(self._subscriptions.values()):
            await subscription.stopped()
        self._hub.forget(self)
