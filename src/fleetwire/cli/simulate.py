"""`fleetwire simulate`: virtual devices that register, connect and send, and a view of how it goes.

Does not: answer commands (it counts them), or reconnect what the server refused.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from fleetwire.cli.console import note, say
from fleetwire.cli.devices import credential_in
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.cli.virtual_devices import VirtualDevice
from fleetwire.errors import FleetwireError
from fleetwire.kit import instants
from fleetwire.net.client import (
    ClientError,
    ConnectionRefusedByServerError,
    MessageRefusedError,
    MQTTClient,
)
from fleetwire.protocol.packets import Publish, Subscription
from fleetwire.runtime.simulation import Tally
from fleetwire.settings import Settings, reachable_at

MEDICAL_PORT = 8004
REGISTRATIONS_AT_ONCE = 4
CONNECTIONS_AT_ONCE = 50
RECONNECT_S = 1.0
LINE_EVERY_S = 5.0
REFRESH_S = 0.25
ACK_TIMEOUT_S = 30.0  # a server that takes longer has stopped, whatever its keep-alive says


@dataclass(frozen=True)
class Plan:
    """What is to run and against whom. `topics` holds MQTT_TOPIC_* where they are not the usual."""

    devices: int
    rate: float
    duration_s: float
    seed: int
    url: str
    platform_url: str
    host: str | None
    port: int
    topics: Mapping[str, str]


@dataclass(frozen=True)
class SignIn:
    """A token, or the name and password to get one with."""

    token: str | None
    username: str | None
    password: str | None


@dataclass(frozen=True)
class Access:
    """How one virtual device connects."""

    username: str
    password: str
    topics: Mapping[str, str]


def app_url(settings: Settings) -> str:
    """Return the root of the medical app's listener on this machine."""
    host = reachable_at(settings.bind)
    port = settings.app_ports.get("medical", MEDICAL_PORT)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(plan: Plan, sign_in: SignIn) -> int:
    """Register, connect and send until the time is over; return the exit status.

    1 if anything went wrong. Raises RestError if the devices cannot be registered.
    """
    token = token_of(sign_in, plan.platform_url)
    if token is None:
        raise FleetwireError(
            "Registering devices needs an account: give --username, --token or FLEETWIRE_TOKEN"
        )
    devices = [VirtualDevice(number, plan.seed) for number in range(1, plan.devices + 1)]
    note(f"Registering {len(devices)} devices at {plan.url}")
    accesses = _register(plan, token, devices)

    tally = Tally()
    try:
        asyncio.run(_drive(plan, devices, accesses, tally))
    except KeyboardInterrupt:
        note("Ended early.")
    summarise(tally)
    return 1 if tally.errors or tally.acknowledged < tally.sent else 0


def token_of(sign_in: SignIn, platform_url: str) -> str | None:
    """Return the token to register devices with, None if nobody signs in. Raises RestError."""
    if sign_in.username is None:
        return sign_in.token
    password = sign_in.password
    if password is None:
        from getpass import getpass

        password = getpass(f"Password of {sign_in.username}: ")
    return RestClient(platform_url).login(sign_in.username, password)


def _register(plan: Plan, token: str, devices: list[VirtualDevice]) -> list[Access]:
    app = RestClient(plan.url, token)
    platform = RestClient(plan.platform_url, token)

    def register(device: VirtualDevice) -> Access:
        topics = _topics(plan.topics, device.device_id)
        try:
            answer = app.post("/devices/register", device.registration())
            topics = answer["mqtt"].get("topics") or topics
        except RestError as error:
            if error.status != 409:
                raise
            # It is there from an earlier run. Its password was shown only then, so it gets another.
            path = f"/api/v1/devices/medical/{device.device_id}/credentials"
            answer = platform.post(path, {})
        return Access(*credential_in(answer), topics)

    with ThreadPoolExecutor(REGISTRATIONS_AT_ONCE) as pool:
        pending = [pool.submit(register, device) for device in devices]
        try:
            return [each.result() for each in pending]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _topics(settings: Mapping[str, str], device_id: str) -> dict[str, str]:
    usual = {
        "data": ("MQTT_TOPIC_DEVICES", "devices/+/data"),
        "status": ("MQTT_TOPIC_STATUS", "devices/+/status"),
        "commands": ("MQTT_TOPIC_COMMANDS", "devices/+/commands"),
    }
    return {
        name: (settings.get(variable) or template).replace("+", device_id)
        for name, (variable, template) in usual.items()
    }


async def _drive(
    plan: Plan, devices: list[VirtualDevice], accesses: list[Access], tally: Tally
) -> None:
    host = plan.host or urlsplit(plan.url).hostname or "127.0.0.1"
    doors = asyncio.Semaphore(CONNECTIONS_AT_ONCE)
    showing = asyncio.create_task(show(tally))
    try:
        async with asyncio.TaskGroup() as group:
            for number, (device, access) in enumerate(zip(devices, accesses, strict=True)):
                # Spread over the first interval, as a fleet is that was switched on by people.
                delay_s = number / len(devices) / plan.rate
                runner = _Runner(plan, device, access, host, doors, tally)
                group.create_task(runner.run(delay_s))
    finally:
        showing.cancel()


class _Runner:
    """Drives one virtual device."""

    __slots__ = ("_access", "_device", "_doors", "_host", "_plan", "_tally")

    def __init__(
        self,
        plan: Plan,
        device: VirtualDevice,
        access: Access,
        host: str,
        doors: asyncio.Semaphore,
        tally: Tally,
    ) -> None:
        self._plan = plan
        self._device = device
        self._access = access
        self._host = host
        self._doors = doors
        self._tally = tally

    async def run(self, delay_s: float) -> None:
        """Connect, send at the plan's rate, and connect again when the connection is lost."""
        ends_at = time.monotonic() + self._plan.duration_s
        first_at = time.monotonic() + delay_s
        while time.monotonic() < ends_at:
            client = self._client()
            try:
                async with self._doors:
                    await client.connect(self._host, self._plan.port)
            except ConnectionRefusedByServerError as error:
                self._count(error)
                return  # asking again would change nothing
            except ClientError as error:
                self._count(error)
                await asyncio.sleep(RECONNECT_S)
                continue
            self._tally.connected += 1
            try:
                await self._send_until(client, ends_at, max(first_at, time.monotonic()))
                return
            except ClientError as error:
                self._count(error)
                await asyncio.sleep(RECONNECT_S)
            except TimeoutError:
                self._tally.errors[f"No acknowledgement within {ACK_TIMEOUT_S:g} s"] += 1
            finally:
                self._tally.connected -= 1
                await client.disconnect()

    def _client(self) -> MQTTClient:
        device, access = self._device, self._access
        will = Publish(access.topics["status"], device.status("offline"), 1)
        return MQTTClient(
            device.device_id,
            username=access.username,
            password=access.password,
            will=will,
            on_message=self._receive,
        )

    def _receive(self, publish: Publish) -> None:
        self._tally.commands += 1

    async def _send_until(self, client: MQTTClient, ends_at: float, due_at: float) -> None:
        topics = self._access.topics
        await client.subscribe(Subscription(topics["commands"], 1))
        await self._send(client, topics["status"], self._device.status("online"))
        while due_at < ends_at:
            pause_s = due_at - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            await self._send(client, topics["data"], self._device.reading(instants.now()))
            due_at += 1 / self._plan.rate
        await self._send(client, topics["status"], self._device.status("offline"))

    async def _send(self, client: MQTTClient, topic_name: str, payload: bytes) -> None:
        began = time.perf_counter()
        self._tally.sent += 1
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await client.publish(topic_name, payload, 1)
        except MessageRefusedError as error:
            self._count(error)
        else:
            self._tally.acknowledge(time.perf_counter() - began)

    def _count(self, error: Exception) -> None:
        # The device's own name would make every line of the summary a different one.
        self._tally.errors[str(error).replace(self._device.device_id, "sim-…")] += 1


async def show(tally: Tally) -> None:
    """Show the tally while it changes: a table for a person, a line now and then for a log."""
    if not sys.stderr.isatty():
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            note(tally.line())
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    def table() -> Table:
        figures = tally.figures()
        grid = Table(*figures, box=None)
        grid.add_row(*figures.values())
        return grid

    with Live(table(), console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(REFRESH_S)
            live.update(table(), refresh=True)


def summarise(tally: Tally) -> None:
    say(tally.line())
    for text, count in tally.errors.most_common(10):
        note(f"{count} × {text}")
    missing = tally.sent - tally.acknowledged
    if missing:
        note(f"{missing} messages were not acknowledged.")
