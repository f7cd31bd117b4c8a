"""TestHub: a whole house for an app's tests, without a socket.

    async with TestHub(app) as hub:
        device = await hub.device("VM01")
        assert (await device.send("vm/{device_id}/status", {"status": "ONLINE"})).is_stored
        answer = await hub.http().get("/machines/VM01")
        await hub.advance(60)  # timers run, commands expire

Everything is the real thing but the network: the database is SQLite in a folder of its own, the
broker carries the messages, HTTP goes through the listener's application.

Does not: move the broker's own clock (session expiry), or that of the database's files.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from fleetwire.kit import App, Caller, LiveEvent, People
from fleetwire.runtime.house import House
from fleetwire.settings import load
from fleetwire.testing.clock import HubClock
from fleetwire.testing.device import REMOTE, HubDevice

T = TypeVar("T")

EVENT_WITHIN_S = 5.0


class TestHub:
    """A house with these apps. `environment` are their settings, `demo` as `serve --demo`."""

    __test__ = False  # pytest shall not take it for a test

    def __init__(
        self,
        *apps: App,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        demo: bool = False,
    ) -> None:
        self._apps = apps
        self._ends = AsyncExitStack()
        self._folder = folder
        self._environment = dict(environment or {})
        self._demo = demo
        self._heard = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.clock = HubClock()
        self.events: list[LiveEvent] = []  # committed and told, in order
        self.house: House
        self.stop_listening: Callable[[], None]  # ends `events`: the house then tells nobody
        self._token = ""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._ends.aclose()
            raise
        return self

    async def _open(self) -> None:
        folder = self._folder
        if folder is None:
            folder = Path(self._ends.enter_context(tempfile.TemporaryDirectory()))
        data_dir = folder / "data"
        data_dir.mkdir(exist_ok=True)
        overrides: dict[str, object] = {"data_dir": data_dir, "bind": "127.0.0.1"}
        overrides |= {"demo": self._demo}
        settings = load(overrides, self._environment, folder)
        self.house = House(settings, apps=self._apps, clock=self.clock)
        self._ends.push_async_callback(self.house.stop)
        self.stop_listening = self.house.bus.subscribe(self._hear)
        await self.house.start(is_listening=False)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._ends.aclose()

    @property
    def caller(self) -> Caller:
        """The house itself, in the first organisation."""
        return self.house.guests.caller()

    def service(self, kind: Callable[..., T]) -> T:
        """Return the house's implementation of a service interface."""
        assert isinstance(kind, type)
        return cast(T, self.house.services[kind])

    async def device(
        self,
        device_id: str,
        *,
        app: str | None = None,
        type: str = "device",
        attributes: dict[str, Any] | None = None,
        is_connected: bool = True,
    ) -> HubDevice:
        """Register a device, unless it is there, and connect it."""
        name = app or self._apps[0].name
        devices = self.house.devices
        if devices.find(name, device_id) is None:
            _, credential = await devices.register(
                self.caller, name, device_id, type, attributes=attributes
            )
        else:
            credential = await devices.issue_credential(self.caller, name, device_id)
        found = devices.find(name, device_id)
        assert found is not None
        device = HubDevice(self.house, found, credential, self.clock)
        if is_connected:
            await device.connect()
        return device

    def http(self, app: str | None = None, *, token: str | None = None) -> httpx.AsyncClient:
        """Return a client of an app's listener (`platform` = the house's own).

        It is signed in as the owner; `token` "" = as nobody.
        """
        name = app or self._apps[0].name
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(
                self.house.listeners.application(name), client=("127.0.0.1", 1)
            ),
            base_url="http://localhost",
            auth=_Bearer(self.token if token is None else lambda: _given(token)),
        )
        self._ends.push_async_callback(client.aclose)
        return client

    async def token(self) -> str:
        """Return an access token of the owner. Only the first hub of a folder knows him."""
        if not self._token:
            assert self.house.administrator is not None, "the folder was another hub's before"
            people = self.service(People)
            self._token = (await people.sign_in(*self.house.administrator, REMOTE)).token
        return self._token

    async def advance(self, seconds: float) -> None:
        """Move the clock: timers are called and deadlines pass, in their order."""
        end = self.clock.at + round(seconds * 1e6)
        timers = self.house.guests.timers
        while True:
            due_at = timers.next_due_at
            if due_at is None or due_at > end:
                break
            await self._move_to(max(due_at, self.clock.at))
            await timers.run_due()
        await self._move_to(end)
        await self.settle()

    async def _move_to(self, at: int) -> None:
        self.clock.at = at
        self.house.commands.check_deadlines()
        self.house.presence.check()
        await self.house.commands.flush()

    async def settle(self) -> None:
        """Return once what is known is stored, rules have run, and the apps have heard of it."""
        await self.house.presence.flush()
        await self.house.commands.flush()
        await self.house.rules.settle()
        await self.house.guests.hearing.settle()

    async def event(self, name: str, count: int = 1) -> LiveEvent:
        """Wait until so many events of this name were told; return the last of them."""

        def found() -> list[LiveEvent]:
            return [event for event in self.events if event.name == name]

        async with asyncio.timeout(EVENT_WITHIN_S), self._heard:
            await self._heard.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    def _hear(self, events: list[LiveEvent]) -> None:
        self.events += events

        async def tell() -> None:
            async with self._heard:
                self._heard.notify_all()

        task = asyncio.create_task(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Bearer(httpx.Auth):
    """Signs in when the first request is sent: that takes a password's time."""

    def __init__(self, token: Callable[[], Awaitable[str]]) -> None:
        self._token = token

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._token()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


async def _given(token: str) -> str:
    return token
