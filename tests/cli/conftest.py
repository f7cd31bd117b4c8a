"""The command line run as a person runs it, and the embedded broker beside it in a thread."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.cli.main import main
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c


class Outcome(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `fleetwire` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | int) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fleetwire", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        status = ended.value.code
        assert isinstance(status, int)
        return Outcome(status, out, err)

    return run


class OneUser(Authenticator):
    """Lets everyone in who says nothing, and `me` with the password `right` to `mine/#`."""

    async def authenticate(self, offer: Offer) -> Grant:
        if offer.username is None and offer.anonymous_allowed:
            return Grant("anonymous", ["#"], ["#"], anonymous=True)
        if offer.username == "me" and offer.password == b"right":
            return Grant("me", ["mine/#"], ["mine/#"])
        if offer.username is None:
            raise RefusedError("credentials are required", c.NOT_AUTHORIZED)
        raise RefusedError("wrong user name or password", c.BAD_USER_NAME_OR_PASSWORD)


class BrokerThread:
    """The embedded broker on a loop of its own."""

    def __init__(self, *, anonymous_allowed: bool) -> None:
        self.port = 0
        self._anonymous_allowed = anonymous_allowed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "BrokerThread":
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = Server(Broker(Limits()), OneUser(), ConnectionLimits())
        self.port = await server.listen_tcp(
            "127.0.0.1", 0, anonymous_allowed=self._anonymous_allowed
        )
        self._is_ready.set()
        await self._end.wait()
        await server.close()


@pytest.fixture
def broker() -> Iterator[BrokerThread]:
    """A broker that lets clients in without a password."""
    # Its log lines would stand among what the command says.
    with capture_logs(), BrokerThread(anonymous_allowed=True) as thread:
        yield thread


@pytest.fixture
def strict_broker() -> Iterator[BrokerThread]:
    """A broker that demands a credential."""
    with capture_logs(), BrokerThread(anonymous_allowed=False) as thread:
        yield thread
