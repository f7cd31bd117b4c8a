"""A house for each test: in memory, and for those marked `over_the_wire` on real sockets too."""

import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.net.tls import ServerCertificate, TLSFiles
from tests.net.certificates import Authority
from tests.spec.wire import Clock, House, MakeHouse

MEDIA = ["memory", "tcp", "tls", "ws", "wss"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "over_the_wire(*media): runs again over TCP, TLS and both WebSockets, or over these only",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "medium" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("over_the_wire")
        media = ["memory"] if marker is None else list(marker.args) or MEDIA
        metafunc.parametrize("medium", media, scope="function")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of everything in `fleetwire.net`."""
    clock = Clock()
    for name, module in list(sys.modules.items()):
        if name.startswith("fleetwire.net.") and hasattr(module, "time"):
            monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TLSFiles]:
    """The certificate of an authority, and files of the server's own."""
    authority = Authority(tmp_path_factory.mktemp("tls"), "authority")
    return authority.path, authority.server()


@pytest.fixture
async def make_house(
    clock: Clock, medium: str, request: pytest.FixtureRequest
) -> AsyncIterator[MakeHouse]:
    """Make a house with limits or an authenticator of its own; arguments as for House."""
    houses: list[House] = []

    async def make(**options: object) -> House:
        house = House(clock, medium, **options)  # type: ignore[arg-type]  # passed on
        houses.append(house)
        await _listen(house, request)
        return house

    yield make
    for house in houses:
        await house.close()


async def _listen(house: House, request: pytest.FixtureRequest) -> None:
    medium, server = house.medium, house.server
    if medium == "memory":
        server._begin()
        return
    certificate = None
    if medium in ("tls", "wss"):
        path, files = request.getfixturevalue("authority")
        certificate = ServerCertificate(files)
        house.tls = ssl.create_default_context(cafile=str(path))
    listen = server.listen_tcp if medium in ("tcp", "tls") else server.listen_websocket
    house.port = await listen("127.0.0.1", 0, anonymous_allowed=True, certificate=certificate)


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    """A server with everything as it is by default."""
    return await make_house()
