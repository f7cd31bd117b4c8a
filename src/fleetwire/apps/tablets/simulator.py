"""Virtual tablets: they walk about, sleep, die, wake again, and do what they are told.

Each is a function of seed and number, and lives in steps: a status each, every second time a place
and metrics, sleep and death for some of them. Whatever it says it says until it is acknowledged, so
that the same fleet does the same however quick the server is. What it did it remembers itself, for
tests that compare the server's tables with the truth.
"""

import time
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from fleetwire.apps.tablets.rows import TYPE
from fleetwire.kit import simulation
from fleetwire.kit.instants import now
from fleetwire.kit.simulation import Link, Received, SimulationSettings

SLEEPS = 0.03  # of the steps: says goodbye for a while, and its session waits
DIES = 0.01  # drops off without a word
PLACE_EVERY = 2  # steps; its status comes with each
PARTIAL = 0.2  # of the statuses: the least that the contract asks for
STEP_M = 80.0
METRE = 1 / 111_194.93  # degrees of latitude
HOME = (-6.2088, 106.8456)

# What a tablet tells when it has done what it was told.
_TELLS = {
    "LOCK_DEVICE": "LOCK",
    "UNLOCK_DEVICE": "UNLOCK",
    "OPEN_APP": "APP_OPENED",
    "ENABLE_KIOSK": "KIOSK_ENABLED",
    "DISABLE_KIOSK": "KIOSK_DISABLED",
}


class VirtualTablet(simulation.VirtualDevice):
    """One tablet. `battery` and `place` are what it last had acknowledged, None = nothing yet."""

    type = TYPE
    keeps_session = True

    def __init__(self, number: int, settings: SimulationSettings, counts: Counter[str]) -> None:
        self.device_id = f"sim-tablet-{number:04d}"
        self.client_id = f"ontrak_tablet_{self.device_id}"
        self.topic_filters = [self._topic("command")]
        self.will = (self._topic("status"), msgspec.json.encode(self._filler()))
        self.battery: int | None = None
        self.place: tuple[float, float] | None = None
        self.is_there = False
        self.has_finished = False  # it has lived all the steps that it was given, and undisturbed
        self.commands: Counter[str] = Counter()  # by id: how often each arrived
        self._random = Random(f"{settings.seed}:{number}")
        # Of what it is asked to do beside its life, so that its life stays the same.
        self._asked = Random(f"{settings.seed}:{number}:asked")
        self._steps = settings.steps
        self._step = 0
        self._due_s = 0.0
        self._interval_s = settings.interval_s
        self._counts = counts
        self._level = self._random.uniform(20, 100)
        self._is_charging = False
        self._position = HOME
        self._booted_at_ms = 0
        self._volume = self._random.randrange(101)

    async def live(self, link: Link) -> None:
        # A fleet was switched on by people: not all at once.
        await link.pause(self._random.uniform(0, self._interval_s))
        await self._boot(link)
        while not link.is_over and (self._steps is None or self._step < self._steps):
            self._due_s = time.monotonic() + self._interval_s
            await self._work(link)
            self._step += 1
            chance = self._random.random()
            if chance < DIES:
                await self._die(link)
            elif chance < DIES + SLEEPS:
                await self._sleep(link)
            else:
                await self._listen(link)
        self.has_finished = not link.is_over
        self.is_there = False
        await link.disconnect()

    async def _boot(self, link: Link) -> None:
        self._booted_at_ms = now() // 1000 - 60_000
        await link.connect()
        self.is_there = True
        await self._tell(link, "BOOT")

    async def _work(self, link: Link) -> None:
        self._drain()
        await self._report(link, self._random)
        if self._step % PLACE_EVERY == 0:
            await self._walk(link)
            await self._measure(link, self._random)

    async def _report(self, link: Link, random: Random) -> None:
        battery = round(self._level)
        if await self._send(link, "status", self._status(battery, random)):
            self._counts["statuses"] += 1
            self.battery = battery

    async def _measure(self, link: Link, random: Random) -> None:
        if await self._send(link, "metrics", self._metrics(random)):
            self._counts["metrics"] += 1

    async def _walk(self, link: Link) -> None:
        north, east = self._random.uniform(-STEP_M, STEP_M), self._random.uniform(-STEP_M, STEP_M)
        latitude, longitude = self._position
        self._position = (latitude + north * METRE, longitude + east * METRE)
        body = {
            "deviceId": self.device_id,
            "latitude": self._position[0],
            "longitude": self._position[1],
            "accuracy": round(self._random.uniform(3, 30), 1),
            "timestamp": now() // 1000,
        }
        if await self._send(link, "location", body):
            self._counts["places"] += 1
            self.place = self._position

    async def _listen(self, link: Link) -> None:
        """Wait for the next step, due so long after the last; what it is told meanwhile it does."""
        while (left_s := self._due_s - time.monotonic()) > 0:
            received = await link.receive(left_s)
            if received is None:
                return
            await self._obey(link, received)

    async def _obey(self, link: Link, received: Received) -> None:
        told = received.json()
        self.commands[str(told.get("commandId"))] += 1
        self._counts["commands"] += 1
        action = told["action"]
        if action in _TELLS:
            await self._tell(link, _TELLS[action])
        elif action == "SEND_DATA_NOW":
            await self._report(link, self._asked)
            await self._measure(link, self._asked)
        elif action == "RESTART_DEVICE":
            await self._tell(link, "SHUTDOWN")
            link.drop()
            await self._boot(link)

    async def _sleep(self, link: Link) -> None:
        self._counts["sleeps"] += 1
        self.is_there = False
        await link.disconnect()
        await self._rest(link, self._random.randrange(2, 7))
        await link.connect()
        self.is_there = True

    async def _die(self, link: Link) -> None:
        self._counts["deaths"] += 1
        self.is_there = False
        link.drop()
        await self._rest(link, self._random.randrange(3, 9))
        if not link.is_over:
            await self._boot(link)

    async def _rest(self, link: Link, steps: int) -> None:
        self._step += steps
        await link.pause(steps * self._interval_s)

    async def _tell(self, link: Link, event_type: str) -> None:
        body = {"eventType": event_type, "message": "", "timestamp": now() // 1000}
        if await self._send(link, "event", body):
            self._counts["events"] += 1

    async def _send(self, link: Link, kind: str, body: dict[str, Any]) -> bool:
        """Send it until it is acknowledged, as a tablet does; False if the end comes first."""
        while not await link.publish(self._topic(kind), body):
            if link.is_over:
                return False
            await link.pause(self._interval_s)
            await link.connect()
        return True

    def _drain(self) -> None:
        if self._is_charging:
            self._level = min(100.0, self._level + self._random.uniform(1, 3))
            self._is_charging = self._level < 90
        else:
            self._level -= self._random.uniform(0.2, 1)
            self._is_charging = self._level < 15

    def _status(self, battery: int, random: Random) -> dict[str, Any]:
        least = {"battery": battery, "wifiStatus": True}
        if random.random() < PARTIAL:
            return least
        return least | {
            "deviceId": self.device_id,
            "uptime": now() // 1000 - self._booted_at_ms,
            "isCharging": self._is_charging,
            "batteryHealth": "GOOD",
            "chargingMethod": "USB" if self._is_charging else "NONE",
            "mobileDataEnabled": False,
            "networkConnected": True,
            "screenOn": random.random() < 0.5,
            "volumeLevel": self._volume,
            "bluetoothEnabled": False,
            "installedAppsCount": 90,
            "bootTime": self._booted_at_ms,
            "timestamp": now() // 1000,
        }

    def _filler(self) -> dict[str, Any]:
        """Return the Will: a status whose `uptime` and `bootTime` say that it is none."""
        return {
            "deviceId": self.device_id,
            "battery": 0,
            "wifiStatus": False,
            "uptime": 0,
            "bootTime": 0,
        }

    def _metrics(self, random: Random) -> dict[str, Any]:
        used = random.randrange(1_000_000_000, 3_000_000_000)
        return {
            "cpu": round(random.uniform(2, 80), 1),
            "memory": {"total": 4_294_967_296, "used": used, "available": 4_294_967_296 - used},
            "storage": {
                "total": 64_000_000_000,
                "used": 20_000_000_000,
                "available": 44_000_000_000,
            },
            "networkType": "WIFI",
            "foregroundApp": "com.example.kiosk",
            "timestamp": now() // 1000,
        }

    def _topic(self, kind: str) -> str:
        return f"tablet/{self.device_id}/{kind}"


class Simulator(simulation.Simulator):
    """A fleet of tablets."""

    counts_steps = True

    def __init__(self, settings: SimulationSettings) -> None:
        self.counts: Counter[str] = Counter()
        self.tablets = [
            VirtualTablet(number, settings, self.counts)
            for number in range(1, settings.devices + 1)
        ]

    def devices(self) -> Sequence[VirtualTablet]:
        return self.tablets

    def summary(self) -> dict[str, str]:
        """Return counts, which are the same for the same seed where all live the same steps."""
        names = ("statuses", "places", "metrics", "events", "commands", "sleeps", "deaths")
        repeated = sum(count - 1 for tablet in self.tablets for count in tablet.commands.values())
        unfinished = sum(not tablet.has_finished for tablet in self.tablets)
        more = {"repeated": str(repeated), "unfinished": str(unfinished)}
        return {name: str(self.counts[name]) for name in names} | more
