"""`fleetwire publish` and `fleetwire subscribe`: a first try of the broker."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetwire.cli.console import note, printable, say
from fleetwire.errors import FleetwireError
from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.bridge.secure import context_of
from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Subscription
from fleetwire.runtime.source import source_plans
from fleetwire.settings import Settings, reachable_at


@dataclass(frozen=True)
class Target:
    """Which broker to talk to, and as whom."""

    host: str
    port: int
    username: str | None
    password: str | None
    client_id: str = ""
    plan: BridgePlan | None = None  # the external broker's, if it is that one

    @classmethod
    def of(
        cls,
        settings: Settings,
        host: str | None,
        port: int | None,
        username: str | None,
        password: str | None,
        client_id: str = "",
    ) -> "Target":
        """Return what the options say, and the settings where they say nothing."""
        broker = settings.external_broker
        if broker is not None and host is None:
            return cls(
                broker.host,
                port or broker.port,
                username or broker.username,
                password or broker.password,
                client_id,
                source_plans(settings, ())[0],
            )
        return cls(
            host or reachable_at(settings.bind),
            port or settings.mqtt_port,
            username,
            password,
            client_id,
        )

    async def connect(self) -> MQTTClient:
        """Return a client that is connected. Raises ClientError."""
        client = MQTTClient(self.client_id, username=self.username, password=self.password)
        plan = self.plan
        tls = context_of(plan) if plan is not None and plan.is_tls else None
        websocket = None if plan is None else plan.websocket
        await client.connect(self.host, self.port, tls=tls, websocket=websocket)
        return client


def read_payload(word: str) -> bytes:
    """Return the payload: the word itself, standard input for `-`, a file's content for `@file`."""
    if word == "-":
        return sys.stdin.buffer.read()
    if not word.startswith("@"):
        return word.encode()
    try:
        return Path(word[1:]).read_bytes()
    except OSError as error:
        raise FleetwireError(f"{word[1:]} cannot be read: {error.strerror}") from None


def publish(target: Target, topic_name: str, payload: bytes, qos: int, retain: bool) -> int:
    """Send one message and say what became of it; return the exit status."""

    async def run() -> None:
        client = await target.connect()
        try:
            code = await client.publish(topic_name, payload, qos, retain)
        finally:
            await client.disconnect()
        if qos == 0:
            note("Sent. QoS 0 is not acknowledged; -q 1 tells you that it arrived.")
        elif code == c.NO_MATCHING_SUBSCRIBERS:
            note("Acknowledged, but nobody takes this topic.")
        else:
            note("Acknowledged.")

    asyncio.run(run())
    return 0


def subscribe(
    target: Target,
    topic_filters: Sequence[str],
    qos: int,
    count: int | None,
    timeout_s: float | None,
) -> int:
    """Write a line for each message; return 1 if `count` of them did not come in time."""
    seen = 0

    async def run() -> None:
        nonlocal seen
        client = await target.connect()
        try:
            await client.subscribe(*(Subscription(each, qos) for each in topic_filters))
            note(f"Listening to {', '.join(topic_filters)}. Ctrl-C ends.")
            async for publish in client.messages():
                say(f"{publish.topic_name} {printable(publish.payload)}")
                seen += 1
                if seen == count:
                    return
        finally:
            await client.disconnect()

    async def run_bounded() -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await run()
        except TimeoutError:
            if count is not None:
                note(f"{seen} of {count} messages came within {timeout_s:g} s.")

    asyncio.run(run_bounded())
    return 0 if count is None or seen >= count else 1
