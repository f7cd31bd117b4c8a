"""RangeCheck and StateCheck: what devices send, held against their types.

Both stand before the sink that stores it, on the writer's thread, and raise alarms in the same
transaction. A reading that was stored before, and a state that the device has had before, raise
none again.
"""

from collections.abc import Sequence as SequenceOf
from typing import Any

from fleetwire.features.devices.repository import statuses_of
from fleetwire.features.devicetypes.book import KnownType, TypeBook
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Alarm, Effect, Event, Reading, Report
from fleetwire.store.database import Transaction

OUT_OF_RANGE = "out_of_range"
UNDECLARED_STATE = "undeclared_state"

Items = SequenceOf[tuple[Effect, Accepted]]
Told = list[tuple[Event, Accepted]]


class _Check(Sink):
    def __init__(self, types: TypeBook, stored: Sink, alarms: Sink) -> None:
        self._types = types
        self._stored = stored
        self._alarms = alarms

    def committed(self) -> None:
        self._stored.committed()

    def rolled_back(self) -> None:
        self._stored.rolled_back()

    def _raise(
        self, tx: Transaction, alarms: list[tuple[Alarm, Accepted]], sequence: Sequence
    ) -> Told:
        return self._alarms.write(tx, alarms, sequence) if alarms else []


class RangeCheck(_Check):
    """Flags readings outside the plausible range of their type's metric."""

    def write(self, tx: Transaction, items: Items, sequence: Sequence) -> Told:
        if not self._types.checks_ranges:
            return self._stored.write(tx, items, sequence)
        outside = self._outside(items)
        events = self._stored.write(tx, items, sequence)
        # Without a cursor an entry stored nothing new: it has come, and has been told, before.
        fresh = [(alarm, entry) for alarm, entry in outside if entry.cursor]
        return [*events, *self._raise(tx, fresh, sequence)]

    def _outside(self, items: Items) -> list[tuple[Alarm, Accepted]]:
        """Flag what is out of range and return an alarm for each."""
        found: list[tuple[Alarm, Accepted]] = []
        device: Device | None = None
        known: KnownType | None = None
        metric = unit = ""
        bounds: tuple[float, float] | None = None
        for effect, entry in items:
            reading: Reading = effect  # type: ignore[assignment]  # the road sorts effects by type
            if reading.device is not device:  # mostly it is the same: runs of one device
                device = reading.device
                known = self._types.known_of(device)
                if known is not None and not known.checks_ranges:
                    known = None
                metric = ""  # of no metric
            if known is None or reading.flagged:  # flagged: its app looked, and has raised its own
                continue
            value = reading.value
            if value.__class__ is not float and value.__class__ is not int:
                continue
            if reading.metric != metric or reading.unit != unit:
                metric, unit = reading.metric, reading.unit
                bounds = known.range_of(metric, unit)
            if bounds is not None and not bounds[0] <= value <= bounds[1]:
                reading.flagged = True
                found.append((_out_of_range(reading, bounds), entry))
        return found


def _out_of_range(reading: Reading, bounds: tuple[float, float]) -> Alarm:
    low, high = (None if abs(bound) == float("inf") else bound for bound in bounds)
    where = " to ".join(f"{bound:g}" for bound in (low, high) if bound is not None)
    words = "outside" if low is not None and high is not None else ("above", "below")[high is None]
    return Alarm(
        reading.device,
        OUT_OF_RANGE,
        f"{reading.metric} {reading.value:g} {reading.unit} is {words} {where}",
        "warning",
        {
            "metric": reading.metric,
            "value": reading.value,
            "unit": reading.unit,
            "low": low,
            "high": high,
        },
    )


class StateCheck(_Check):
    """Tells of a device that reports a state which its type does not declare.

    The state is kept as it was said: what a device says of itself is true until it says something
    else, and whoever looks must see it.
    """

    def write(self, tx: Transaction, items: Items, sequence: Sequence) -> Told:
        strange = self._strange(items) if self._types.checks_states else set()
        alarms = self._alarms_for(tx, strange, items) if strange else []
        return [*self._stored.write(tx, items, sequence), *self._raise(tx, alarms, sequence)]

    def _strange(self, items: Items) -> set[int]:
        """Return the keys of devices that say something undeclared."""
        found: set[int] = set()
        for effect, _ in items:
            assert isinstance(effect, Report)
            if effect.status is not None and self._is_undeclared(effect.device, effect.status):
                found.add(effect.device.id)
        return found

    def _is_undeclared(self, device: Device, status: str) -> bool:
        known = self._types.known_of(device)
        return known is not None and bool(known.states) and status not in known.states

    def _alarms_for(
        self, tx: Transaction, strange: set[int], items: Items
    ) -> list[tuple[Alarm, Accepted]]:
        statuses = statuses_of(tx.connection, strange)
        found: list[tuple[Alarm, Accepted]] = []
        for effect, entry in items:
            assert isinstance(effect, Report)
            device, status = effect.device, effect.status
            if device.id not in strange or status is None:
                continue
            before, statuses[device.id] = statuses.get(device.id), status
            if status != before and self._is_undeclared(device, status):
                found.append((self._undeclared(device, status, before), entry))
        return found

    def _undeclared(self, device: Device, status: str, before: str | None) -> Alarm:
        known = self._types.known_of(device)
        states = sorted(known.states) if known is not None else []
        detail: dict[str, Any] = {"state": status, "before": before, "declared": states}
        return Alarm(
            device,
            UNDECLARED_STATE,
            f"{status!r} is no state of the type {device.type!r}",
            "warning",
            detail,
        )
