"""Virtual machines: they turn their motors when told, jam, lose results, say them twice, die.

What really came out each machine remembers itself, so that a test can compare the server's tables
with the truth. Like the machines in the field they publish with QoS 0, hear each command on two
topics, and act once on those that say the same order, item and attempt. They count what drops:
one that jams over several units says how many came out before.

Does not: buy anything. Orders come from whoever uses the shop meanwhile.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import msgspec

from fleetwire.kit import simulation
from fleetwire.kit.simulation import Link, Received, SimulationSettings

TYPE = "vending_machine"
# Of the share of faults in all; each command has one fate.
FATES = ("jam", "lost", "twice", "late")
LONGEST_BEAT_S = 0.5  # what motors, late results and deaths take is measured in beats
DEATHS = 0.2  # of the fault rate: after so many commands a machine loses its power


class Job(NamedTuple):
    """What a command asks for; the same job is done once."""

    order_id: str
    item_index: int
    attempt: int


class VirtualMachine(simulation.VirtualDevice):
    """One machine. `dropped` are the units that really came out, by slot number."""

    type = TYPE

    def __init__(self, number: int, settings: SimulationSettings, counts: Counter[str]) -> None:
        self.device_id = f"sim-vm-{number:04d}"
        self.client_id = self.device_id
        self.topic_filters = [self._topic("command"), self._topic("dispend"), self._topic("config")]
        self.will = (self._topic("status"), msgspec.json.encode({"status": "OFFLINE"}))
        self.jobs: dict[Job, int] = {}  # how many units came out
        self.asked: dict[Job, int] = {}
        self.dropped: Counter[int] = Counter()
        self._random = Random(f"{settings.seed}:{number}")
        self._interval_s = settings.interval_s
        self._beat_s = min(settings.interval_s, LONGEST_BEAT_S)
        self._fault_rate = settings.fault_rate
        self._counts = counts
        self._temperature = self._random.uniform(3, 6)

    async def live(self, link: Link) -> None:
        await link.pause(self._random.uniform(0, self._interval_s))
        await self._power_on(link)
        while not link.is_over:
            if not await link.publish(self._topic("telemetry"), self._telemetry(), qos=0):
                await self._power_on(link)
                continue
            self._counts["telemetry"] += 1
            received = await link.receive(self._interval_s)
            while received is not None:
                await self._obey(link, received)
                received = await link.receive(self._interval_s)
        await link.disconnect()

    async def _power_on(self, link: Link) -> None:
        if link.is_over:
            return
        await link.connect()
        body = {"status": "ONLINE", "door": "CLOSED", "rssi": -60, "fw": "1.0.0"}
        await link.publish(self._topic("status"), body, qos=0)

    async def _obey(self, link: Link, received: Received) -> None:
        said = received.json()
        if received.topic.endswith("/config"):
            body = {"status": "ONLINE", "config": said}
            await link.publish(self._topic("status"), body, qos=0)
            return
        job = Job(str(said["orderId"]), said.get("itemIndex", 1), said.get("attempt", 1))
        if job in self.jobs:
            self._counts["repeated"] += 1  # by the other topic, as a rule
            return
        self._counts["commands"] += 1
        fate = self._fate()
        # Written down before the motor turns, as a machine does that may lose its power.
        asked = said.get("quantity", 1)
        self.asked[job] = asked
        self.jobs[job] = self._random.randrange(asked) if fate == "jam" else asked
        await link.pause(self._random.uniform(0.02, 0.1) * self._beat_s)
        self.dropped[said["slot"]] += self.jobs[job]
        self._counts["dropped"] += self.jobs[job]
        await self._tell(link, said, job, fate)
        if self._random.random() < self._fault_rate * DEATHS:
            await self._die(link)

    async def _tell(self, link: Link, said: dict[str, Any], job: Job, fate: str) -> None:
        if fate:
            self._counts[fate] += 1
        if fate == "lost":
            return
        if fate == "late":
            await link.pause(self._random.uniform(1, 4) * self._beat_s)
        came_out = self.jobs[job] == self.asked[job]
        result = {
            "orderId": job.order_id,
            "slot": said["slot"],
            "success": came_out,
            "dropDetected": came_out,
            "durationMs": self._random.randrange(500, 2000),
            "error": "" if came_out else "JAM",
        }
        if self.asked[job] > 1:
            result["dropped"] = self.jobs[job]
        for name in ("itemIndex", "attempt"):
            if name in said:
                result[name] = said[name]
        for _ in range(2 if fate == "twice" else 1):
            await link.publish(self._topic("dispense_result"), result, qos=0)

    async def _die(self, link: Link) -> None:
        self._counts["deaths"] += 1
        link.drop()
        await link.pause(self._random.uniform(1, 5) * self._beat_s)
        await self._power_on(link)

    def _fate(self) -> str:
        """Return what goes wrong, each fault as often as the others; "" = nothing."""
        chance = self._random.random()
        for fate in FATES:
            chance -= self._fault_rate
            if chance < 0:
                return fate
        return ""

    def _telemetry(self) -> dict[str, Any]:
        self._temperature += self._random.uniform(-0.2, 0.2)
        return {
            "temperature": round(self._temperature, 1),
            "humidity": self._random.randrange(40, 70),
            "door": "CLOSED",
            "rssi": -self._random.randrange(50, 80),
            "fw": "1.0.0",
        }

    def _topic(self, leaf: str) -> str:
        return f"vm/{self.device_id}/{leaf}"


class Simulator(simulation.Simulator):
    """A fleet of machines."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.counts: Counter[str] = Counter()
        self.machines = [
            VirtualMachine(number, settings, self.counts)
            for number in range(1, settings.devices + 1)
        ]

    def devices(self) -> Sequence[VirtualMachine]:
        return self.machines

    def summary(self) -> dict[str, str]:
        names = ("telemetry", "commands", "dropped", *FATES, "deaths", "repeated")
        return {name: str(self.counts[name]) for name in names}

    def drops(self) -> Counter[tuple[str, int]]:
        """Return how many units really came out, by (order id, item index)."""
        found: Counter[tuple[str, int]] = Counter()
        for machine in self.machines:
            for job, units in machine.jobs.items():
                found[job.order_id, job.item_index] += units
        return found

    def faults(self) -> list[str]:
        """Return what came out more often than it was ordered."""
        ordered: Counter[tuple[str, int]] = Counter()
        for machine in self.machines:
            for job, units in machine.asked.items():
                item = (job.order_id, job.item_index)
                ordered[item] = max(ordered[item], units)  # a later attempt asks for the rest
        return [
            f"Of item {item[1]} of order {item[0]} came out {units}, not {ordered[item]}"
            for item, units in self.drops().items()
            if units > ordered[item]
        ]
