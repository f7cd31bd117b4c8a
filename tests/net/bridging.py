"""Two brokers on real sockets, and a bridge of the first to the second."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.net.authenticator import Authenticator, Offer
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.plan import BridgePlan, TopicRule
from fleetwire.net.bridge.status import BridgeStatus, Retry
from fleetwire.net.client import MQTTClient
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish, Subscription

HOST = "127.0.0.1"
WAIT_S = 5.0
QUICK = Retry(0.01, 0.05)


class OpenDoor(Authenticator):
    """Lets everybody in."""

    async def authenticate(self, offer: Offer) -> Grant:
        return Grant(f"client:{offer.client_id}", ["#"], ["#", "$SYS/#"])


class Place:
    """One broker with its server; it can be stopped, and started again on the same port."""

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        self.name = name
        self.port = 0
        self.limits = limits or Limits()
        self.broker = Broker(self.limits)
        self.server: Server | None = None
        self.bridges: Bridges | None = None
        self._ears: list[Ear] = []
        self._changed = asyncio.Event()
        self._states: dict[str, bytes] = {}

    async def start(self, **listening: Any) -> "Place":
        self.server = Server(self.broker, OpenDoor(), ConnectionLimits())
        self.port = await self.server.listen_tcp(
            HOST, self.port, anonymous_allowed=True, **listening
        )
        self.server.watch("$SYS/broker/connection/+/state", 0, self._see)
        return self

    def forget(self) -> None:
        """Lose everything, as a broker without persistence does."""
        self.broker = Broker(self.limits)

    async def stop(self) -> None:
        if self.server is not None:
            server, self.server = self.server, None
            await server.close(0.5)

    def session(self, prefix: str = "fw-") -> Session:
        """Return the session of a bridge that comes from elsewhere."""
        return next(s for s in self.broker.sessions.values() if s.client_id.startswith(prefix))

    def cut(self) -> None:
        """Cut the connections of bridges that come from elsewhere."""
        assert self.server is not None
        for connection in list(self.server.connections):
            if connection.session is not None and connection.session.client_id.startswith("fw-"):
                connection.abort()

    def bridge(self, *plans: BridgePlan, retry: Retry = QUICK) -> Bridges:
        assert self.server is not None
        self.bridges = Bridges(plans, self.broker, f"{self.name}-id", retry=retry)
        self.server.observers.append(self.bridges)
        self.bridges.start()
        return self.bridges

    def status(self, name: str = "hub") -> BridgeStatus:
        assert self.bridges is not None
        return next(each for each in self.bridges.status() if each.name == name)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that comes with, or soon after, a change of a bridge's state."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def until_connected(self, name: str = "hub") -> None:
        await self.until(lambda: self._states.get(name) == b"1")

    async def until_away(self, name: str = "hub") -> None:
        await self.until(lambda: self._states.get(name) == b"0")

    def _see(self, topic: str, payload: bytes, qos: int) -> None:
        self._states[topic.split("/")[3]] = payload
        self._changed.set()

    async def ear(self, *filters: str, keeps: bool = False) -> "Ear":
        """Return a client that subscribes to these; one that `keeps` has a session that lasts."""
        ear = Ear(f"ear-{len(self._ears)}", keeps)
        await ear.client.connect(HOST, self.port)
        if filters:
            await ear.client.subscribe(*[Subscription(each, 2, False, True) for each in filters])
        self._ears.append(ear)
        return ear

    def say(
        self,
        topic: str,
        payload: str,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Publish for the house."""
        publish = Publish(topic, payload.encode(), qos, retain, properties=properties)
        self.broker.publish_own(publish, time.time_ns() // 1000)

    async def close(self) -> None:
        if self.bridges is not None:
            await self.bridges.close()
        for ear in self._ears:
            await ear.client.disconnect()
        await self.stop()


class Ear:
    """A client that keeps what it hears."""

    def __init__(self, client_id: str, keeps: bool) -> None:
        self.heard: list[Publish] = []
        properties: Properties = {c.SESSION_EXPIRY_INTERVAL: 100 if keeps else 0}
        self.client = MQTTClient(client_id, properties=properties, on_message=self._take)
        self._arrived = asyncio.Event()

    def _take(self, publish: Publish) -> None:
        self.heard.append(publish)
        self._arrived.set()

    @property
    def texts(self) -> list[str]:
        return [each.payload.decode() for each in self.heard]

    async def until(self, count: int) -> list[Publish]:
        """Return what was heard once it is so many messages."""
        async with asyncio.timeout(WAIT_S):
            while len(self.heard) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.heard


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what comes in one of the next turns of the event loop."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  # nothing else would tell us
            await asyncio.sleep(0)


def plan(port: int, *topics: TopicRule, **more: Any) -> BridgePlan:
    """Return a plan for a bridge to this port."""
    options: dict[str, Any] = {"name": "hub", "scheme": "mqtt", "host": HOST, "port": port}
    return BridgePlan(**(options | more), topics=topics)
