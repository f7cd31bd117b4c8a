"""Rig: a house for clients that speak in exact bytes, and what this folder's tests need of it."""

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.takers import Taker
from fleetwire.errors import FleetwireError
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.protocol import constants as c
from tests.octets import PINGREQ, PINGRESP, connack, connect
from tests.spec.wire import House, Wire


class Door(Authenticator):
    """Says by its user name what a client may do; without one it may do nearly everything."""

    async def authenticate(self, offer: Offer) -> Grant:
        match offer.username:
            case "narrow":
                return Grant("narrow", ["own/#"], ["own/#"])
            case "wrong":
                raise RefusedError("wrong password", c.BAD_USER_NAME_OR_PASSWORD)
            case "stranger":
                raise RefusedError("not for you", c.NOT_AUTHORIZED)
            case "away":
                raise FleetwireError("the database is away")
            case "broken":
                raise ZeroDivisionError("a fault in an authenticator")
        return Grant("anyone", ["#", "$test/#"], ["#", "$SYS/#", "$test/#"], anonymous=True)


class Keeper(Taker):
    """Takes what comes, as the road to the database does, and releases it when the test says."""

    holds_tickets = True

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    @property
    def payloads(self) -> list[bytes]:
        return [delivery.publish.payload for delivery in self.deliveries]

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def release(self, index: int) -> None:
        """Say that this one is stored."""
        ticket = self.deliveries[index].ticket
        assert ticket is not None
        ticket.release(0)


class Peer:
    """A client that is nothing but bytes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._heard = b""

    async def says(self, *chunks: bytes) -> None:
        """Send chunks, each of them a read of its own for the server."""
        for chunk in chunks:
            self._wire.send_bytes(chunk)
            await self._wire.pipe.flush()

    async def asks(self, request: bytes, *answer: bytes) -> None:
        """Send bytes, and pass if exactly these come next."""
        await self.says(request)
        await self.hears(*answer)

    async def hears(self, *parts: bytes) -> None:
        """Pass if exactly these bytes come next."""
        expected = b"".join(parts)
        heard = await self.takes(len(expected))
        assert heard.hex(" ") == expected.hex(" ")

    async def takes(self, count: int) -> bytes:
        """Return the next bytes, fewer where no more come."""
        while len(self._heard) < count:
            data = await self._wire.pipe.read()
            if not data:
                break
            self._heard += data
        taken, self._heard = self._heard[:count], self._heard[count:]
        return taken

    async def hears_nothing(self) -> None:
        """Pass if nothing has come, and the server still answers."""
        await self.asks(PINGREQ, PINGRESP)

    async def ends(self, *parts: bytes) -> None:
        """Pass if exactly these bytes come, and then the end of the connection."""
        await self.hears(*parts)
        assert self._heard == b""
        assert await self._wire.pipe.read() == b"", "the connection goes on"

    async def breaks(self) -> None:
        """Lose the connection without a DISCONNECT."""
        await self._wire.cut()


class Rig:
    """One house with this folder's door. `refusals` takes what clients may not publish."""

    def __init__(self, house: House, refusals: Keeper) -> None:
        self.house = house
        self.refusals = refusals

    async def peer(self) -> Peer:
        """Return a connection on which nothing has been said."""
        return Peer(await self.house.wire(c.V311))

    async def client(
        self,
        client_id: str = "c",
        *fields: str | bytes,
        clean: bool = True,
        flags: int = 0,
        session_present: bool = False,
        keep_alive: int = 0,
    ) -> Peer:
        """Return a client whose CONNECT was accepted; `flags` beside Clean Session."""
        peer = await self.peer()
        request = connect(
            client_id, *fields, flags=flags | (0x02 if clean else 0), keep_alive=keep_alive
        )
        await peer.asks(request, connack(session_present=session_present))
        return peer

    def keep(self, topic_filter: str) -> Keeper:
        """Let the house take what is published here, and hold its acknowledgements."""
        keeper = Keeper()
        self.house.broker.tree.add_taker(topic_filter, keeper)
        return keeper
