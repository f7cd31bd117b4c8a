"""Simulation: an app's virtual devices over MQTT.

Does not: register devices. `logins` says as whom each connects; without one it is anonymous.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping

import msgspec

from fleetwire.kit.simulation import Link, Received, Simulator, VirtualDevice
from fleetwire.net.client import ClientError, MessageRefusedError, MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription

TIMES_KEPT = 20_000
CONNECTIONS_AT_ONCE = 50
RECONNECT_S = 0.5
RECONNECT_MOST_S = 8.0
ACK_TIMEOUT_S = 30.0  # a server that takes longer has stopped, whatever its keep-alive says
INBOX_MOST = 1000
ENDING_S = 40.0  # for the last acknowledgement, and goodbye

Logins = Mapping[str, tuple[str, str]]


class Tally:
    """What has happened so far."""

    def __init__(self) -> None:
        self.connected = 0
        self.sent = 0
        self.acknowledged = 0
        self.commands = 0
        self.errors: Counter[str] = Counter()
        self._times_s: deque[float] = deque(maxlen=TIMES_KEPT)
        self._began = time.monotonic()

    def acknowledge(self, took_s: float) -> None:
        """Count one acknowledgement."""
        self.acknowledged += 1
        self._times_s.append(took_s)

    def percentile_ms(self, share: float) -> float:
        """Return how long this share of the acknowledgements took at most, of the last 20,000."""
        times = sorted(self._times_s)
        return times[min(len(times) - 1, int(len(times) * share))] * 1000 if times else 0.0

    def line(self) -> str:
        """Return everything in one line."""
        return "  ".join(f"{name} {value}" for name, value in self.figures().items())

    def figures(self) -> dict[str, str]:
        """Return what there is to see, by its name."""
        elapsed_s = max(time.monotonic() - self._began, 0.001)
        return {
            "after": f"{elapsed_s:.0f} s",
            "connected": str(self.connected),
            "sent": str(self.sent),
            "acknowledged": str(self.acknowledged),
            "per second": f"{self.acknowledged / elapsed_s:.0f}",
            "p50": f"{self.percentile_ms(0.5):.1f} ms",
            "p99": f"{self.percentile_ms(0.99):.1f} ms",
            "commands": str(self.commands),
            "errors": str(self.errors.total()),
        }


class Ending:
    """When a simulation is over: after its time, or when somebody says so."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    @property
    def has_come(self) -> bool:
        return self._ended.is_set()

    def come(self) -> None:
        self._ended.set()

    async def wait(self, seconds: float) -> None:
        """Return after so long, or at once when it has come."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return


async def drive(
    simulator: Simulator,
    host: str,
    port: int,
    *,
    duration_s: float,
    logins: Logins,
    tally: Tally,
    ending: Ending | None = None,
) -> None:
    """Let the devices live against a server, for so long or until all have come to their end."""
    ending = ending or Ending()
    doors = asyncio.Semaphore(CONNECTIONS_AT_ONCE)
    tasks = []
    for device in simulator.devices():
        link = MQTTLink(device, host, port, logins.get(device.device_id), doors, ending, tally)
        tasks.append(asyncio.create_task(_live(device, link)))
    try:
        lives = asyncio.gather(*tasks, return_exceptions=True)
        lives.add_done_callback(lambda _: ending.come())
        await ending.wait(duration_s)
        ending.come()
        _, late = await asyncio.wait(tasks, timeout=ENDING_S)
        if late:
            tally.errors["A device did not come to its end"] += len(late)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _live(device: VirtualDevice, link: "MQTTLink") -> None:
    try:
        await device.live(link)
    finally:
        link.drop()  # nothing, if it has said goodbye


class MQTTLink(Link):
    """One device's connections to a real server, one after the other."""

    def __init__(
        self,
        device: VirtualDevice,
        host: str,
        port: int,
        login: tuple[str, str] | None,
        doors: asyncio.Semaphore,
        ending: Ending,
        tally: Tally,
    ) -> None:
        self._device = device
        self._host = host
        self._port = port
        self._login = login
        self._doors = doors
        self._ending = ending
        self._tally = tally
        self._client: _Client | None = None
        self._inbox: asyncio.Queue[Received] = asyncio.Queue(INBOX_MOST)

    @property
    def is_over(self) -> bool:
        return self._ending.has_come

    async def connect(self) -> None:
        await self._close(self._take())
        pause_s = RECONNECT_S
        while not self.is_over:
            client = self._new()
            try:
                async with self._doors:
                    await client.connect(self._host, self._port)
                wanted = [Subscription(each, 1) for each in self._device.topic_filters]
                if wanted:
                    await client.subscribe(*wanted)
            except ClientError as error:
                self._count(error)
                client.abort()
                await self.pause(pause_s)
                pause_s = min(pause_s * 2, RECONNECT_MOST_S)
                continue
            self._client = client
            self._tally.connected += 1
            return

    async def publish(self, topic: str, body: object, *, qos: int = 1) -> bool:
        payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
        client = self._client
        if client is None or not client.is_connected:
            return False
        began = time.perf_counter()
        self._tally.sent += 1
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                await client.publish(topic, payload, qos)
        except MessageRefusedError as error:
            self._count(error)
            return False
        except ClientError as error:
            self._tally.sent -= 1  # nobody knows whether it arrived: the device sends it again
            self._count(error)
            return False
        except TimeoutError:
            self._tally.errors[f"No acknowledgement within {ACK_TIMEOUT_S:g} s"] += 1
            return False
        self._tally.acknowledge(time.perf_counter() - began)
        return True

    async def receive(self, timeout_s: float) -> Received | None:
        if self.is_over:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await self._inbox.get()
        except TimeoutError:
            return None

    async def disconnect(self) -> None:
        await self._close(self._take())

    def drop(self) -> None:
        client = self._take()
        if client is not None:
            client.abort()

    async def pause(self, seconds: float) -> None:
        await self._ending.wait(seconds)

    def _take(self) -> "_Client | None":
        client, self._client = self._client, None
        if client is not None:
            self._tally.connected -= 1
        return client

    async def _close(self, client: "_Client | None") -> None:
        if client is not None:
            await client.disconnect()

    def _new(self) -> "_Client":
        device = self._device
        username, password = self._login or (None, None)
        will = None if device.will is None else Publish(*device.will, 1)
        return _Client(
            device.client_id,
            version=c.V311,
            username=username,
            password=password,
            clean_start=not device.keeps_session,
            will=will,
            on_message=self._hear,
        )

    def _hear(self, publish: Publish) -> None:
        self._tally.commands += 1
        said = (publish.properties or {}).get(c.CORRELATION_DATA, b"")
        command_id = said.decode("ascii", "replace") if isinstance(said, bytes) else ""
        if self._inbox.full():
            self._tally.errors["A device has too many messages to look at"] += 1
            return
        self._inbox.put_nowait(Received(publish.topic_name, publish.payload, command_id))

    def _count(self, error: Exception) -> None:
        # The device's own name would make every line of the summary a different one.
        self._tally.errors[str(error).replace(self._device.device_id, "sim-…")] += 1


class _Client(MQTTClient):
    def abort(self) -> None:
        """Close without a DISCONNECT."""
        self._abort()
