"""A server with nothing but listeners, and clients made of bytes."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

from fleetwire.broker.broker import Broker
from fleetwire.broker.grants import Grant
from fleetwire.broker.limits import Limits
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.net.client import MQTTClient
from fleetwire.net.clients import Client, ClientObserver
from fleetwire.net.proxy import ProxyPolicy
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.net.tls import ServerCertificate, TLSFiles
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode_connect
from fleetwire.protocol.packets import Connect, Packet
from tests.net.certificates import Authority

WAIT_S = 5.0
HOST = "127.0.0.1"


class Door(Authenticator, ClientObserver):
    """Lets in whoever the listener lets in without credentials, and remembers what they offered."""

    def __init__(self) -> None:
        self.offers: list[Offer] = []
        self.clients: list[Client] = []

    async def authenticate(self, offer: Offer) -> Grant:
        self.offers.append(offer)
        if not offer.anonymous_allowed and offer.certificate is None:
            raise RefusedError("no credentials")
        return Grant("somebody", ["#"], ["#"], anonymous=True)

    def connected(self, client: Client) -> None:
        self.clients.append(client)


class World:
    def __init__(self, folder: Path) -> None:
        self.door = Door()
        self.port = 0
        limits = ConnectionLimits(connect_timeout_s=0.5, write_high_bytes=16 << 20)
        self.server = Server(Broker(Limits()), self.door, limits, [self.door])
        self.authority = Authority(folder, "fleet")
        self.files = self.authority.server()
        self.folder = folder

    async def tls(self, files: TLSFiles | None = None, *, proxy: ProxyPolicy | None = None) -> int:
        return await self.server.listen_tcp(
            HOST, 0, anonymous_allowed=True,
            certificate=ServerCertificate(files or self.files), proxy=proxy,
        )  # fmt: skip

    def context(self, *client: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.path)
        if client:
            context.load_cert_chain(*client)
        return context

    async def is_well(self, port: int) -> bool:
        client = MQTTClient("well")
        await client.connect(HOST, port, tls=self.context())
        await client.disconnect()
        return True


@contextlib.contextmanager
def nothing_unhandled() -> Iterator[None]:
    """Fail if the event loop was told of an exception that nobody caught."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    yield
    loop.set_exception_handler(None)
    assert told == []


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return everything up to the end of the connection."""
    received = b""
    async with asyncio.timeout(WAIT_S):
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while data := await reader.read(65536):
                received += data
    return received


async def packet(reader: asyncio.StreamReader) -> Packet:
    decoder = Decoder(1 << 20, version=4, is_server=False)
    async with asyncio.timeout(WAIT_S):
        while True:
            data = await reader.read(65536)
            assert data, "the connection has ended"
            if packets := decoder.feed(data):
                return packets[0]


def connect_bytes(client_id: str = "c") -> bytes:
    return encode_connect(Connect(4, client_id, True, 60))
