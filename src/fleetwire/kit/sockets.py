"""Sockets: Socket.IO namespaces of an app's own, with rooms, on its listener.

    orders = SocketSpace("/orders", is_open=True)

    @orders.on("watch")
    async def watch(client: SocketClient, said: Watch, shop: Annotated... ) -> dict[str, Any]:
        order = await find(said.order_id)  # NotFoundError is what the client is answered
        client.enter(f"order:{order.id}", organization_id=order.organization_id)
        return {"state": order.state}

    app.include_sockets(orders)

and wherever something has happened, with the service `Sockets`:

    sockets.emit(orders, "order", {...}, organization_id=1, room=f"order:{order.id}")

A function of a space is given the `SocketClient`, services by type, and, in one more parameter,
what the client said, converted to that parameter's type. What it returns is the acknowledgement; a
DomainError is one, too: `{status, detail, field}`, and the event `error` for who asked for none.
Events of one client are handled in order, one at a time.

Rooms are apart for each organisation. Events wait for a slow client up to a bound. Then those with
a `key` give way to newer ones of the same key, others are left out, oldest first, and `lagged`
tells the client how many; a client for whom one `must_arrive` is ended instead, with a reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fleetwire.errors import DomainError, SettingsError
from fleetwire.kit.caller import Caller

F = TypeVar("F", bound=Callable[..., Any])


class SocketSpace:
    """What an app declares of one namespace; it keeps nothing of who is connected.

    Who connects shows a credential, as on every channel: `auth: {token}`, a Bearer header or
    `?token=`. `needs` is a permission that he must have, None = whoever is signed in. A space that
    `is_open` also lets in who shows none; his `caller.is_anonymous`. What somebody may do is asked
    again when it may have changed: within a second he is ended, or `on_rights` is called.
    """

    def __init__(self, namespace: str, *, needs: str | None = None, is_open: bool = False) -> None:
        if not namespace.startswith("/"):
            raise SettingsError(f"The Socket.IO namespace {namespace!r} must begin with '/'.")
        self.namespace = namespace
        self.needs = needs
        self.is_open = is_open
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.connects: list[Callable[..., Any]] = []
        self.disconnects: list[Callable[..., Any]] = []
        self.rights: list[Callable[..., Any]] = []

    def on(self, event: str) -> Callable[[F], F]:
        """Call the decorated async function with each event of this name that a client sends."""

        def register(function: F) -> F:
            if event in self.handlers or event in ("connect", "disconnect"):
                raise SettingsError(f"{self.namespace}: the event {event!r} is taken already.")
            self.handlers[event] = function
            return function

        return register

    def on_connect(self, function: F) -> F:
        """Call the decorated async function before a client is let in.

        A DomainError refuses it. What it emits comes to the client once he is in.
        """
        self.connects.append(function)
        return function

    def on_disconnect(self, function: F) -> F:
        """Call the decorated async function after a client has gone."""
        self.disconnects.append(function)
        return function

    def on_rights(self, function: F) -> F:
        """Call the decorated async function when `client.caller` has become another.

        It takes away what he may not have any more; a DomainError ends him.
        """
        self.rights.append(function)
        return function


class SocketClient(ABC):
    """One client in one space."""

    id: str
    caller: Caller  # as he is now
    remote: str  # address
    auth: Mapping[str, Any]  # what he said when he connected, without the token
    state: dict[str, Any]  # the app's own, for as long as he is connected

    @property
    @abstractmethod
    def rooms(self) -> frozenset[str]:
        """The rooms he is in."""

    @abstractmethod
    def enter(self, room: str, *, organization_id: int | None = None) -> None:
        """Let him hear what is emitted to a room, None = of his own organisation.

        Raises TooManyError at the bound.
        """

    @abstractmethod
    def leave(self, room: str) -> None:
        """Let him hear no more of it, nor what still waits for him of it."""

    @abstractmethod
    def take_back(self, is_meant: Callable[[str], bool]) -> None:
        """Do not send what still waits for him with such a key: he may not have it any more."""

    @abstractmethod
    def emit(
        self, event: str, data: Any, *, key: str | None = None, must_arrive: bool = False
    ) -> None:
        """Send an event to him alone, after all that was emitted before."""

    @abstractmethod
    async def settled(self) -> bool:
        """Return once he has taken what was emitted, or has gone; say whether he is there.

        For what is long: page by page, each after the client has taken the one before.
        """

    @abstractmethod
    def end(self, error: DomainError) -> None:
        """End his connection with the event `refused` and this reason."""


class Sockets(ABC):
    """Everybody who is connected to the apps' spaces. All calls happen on the event loop."""

    @abstractmethod
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
        """Send an event to all in a room of an organisation; return how many they are.

        `data` is encoded once, as JSON.
        """

    @abstractmethod
    def clients(self, space: SocketSpace, organization_id: int) -> Sequence[SocketClient]:
        """Return who is connected to a space and belongs to an organisation."""
