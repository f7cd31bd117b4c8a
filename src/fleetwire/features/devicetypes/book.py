"""TypeBook: every type in memory, and what the road and the commands ask of it.

It is changed on the event loop after a commit and read there and on the writer's thread; each
answer comes from one look into one dictionary, so both see a type whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from fleetwire.broker.topic_rights import PLACES, fill
from fleetwire.errors import InvalidValueError, SettingsError
from fleetwire.features.devices.topics import topics_of_app
from fleetwire.features.devicetypes.parameters import check_parameters
from fleetwire.features.devicetypes.rules import check_type
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import DeviceRecord
from fleetwire.kit.types import DeviceType, DeviceTypeRecord
from fleetwire.protocol.topics import covers

Range = tuple[float, float]

REMEMBERED: Final = 4096  # metrics in units: a fleet sends the same few hundred again and again
_LEAST: Final = float("-inf")
_MOST: Final = float("inf")


class KnownType:
    """A type, made ready to be asked."""

    __slots__ = ("_metrics", "_remembered", "checks_ranges", "commands", "record", "states")

    def __init__(self, record: DeviceTypeRecord, *, checks_ranges: bool = True) -> None:
        self.record = record
        self.states = frozenset(record.type.states)
        self.commands = {command.name: command for command in record.type.commands}
        self._metrics: dict[str, dict[str, Range]] = {}
        for metric in record.type.metrics:
            ranges = {other.unit: _range(other.low, other.high) for other in metric.others}
            ranges[metric.unit] = _range(metric.low, metric.high)
            # A reading that says no unit is in the one that is declared.
            ranges.setdefault("", _range(metric.low, metric.high))
            self._metrics[metric.name] = ranges
        self._remembered: dict[tuple[str, str], Range | None] = {}
        self.checks_ranges = checks_ranges and any(
            found != (_LEAST, _MOST)
            for ranges in self._metrics.values()
            for found in ranges.values()
        )

    def range_of(self, metric: str, unit: str) -> Range | None:
        """Return the plausible range, both ends in it; None = nothing is said of that."""
        key = (metric, unit)
        try:
            return self._remembered[key]
        except KeyError:
            pass
        ranges = self._metrics.get(metric)
        if ranges is None:
            ranges = self._metrics.get(metric.rpartition(".")[2], {})
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        found = self._remembered[key] = ranges.get(unit)
        return found


def _range(low: float | None, high: float | None) -> Range:
    return (_LEAST if low is None else low, _MOST if high is None else high)


class TypeBook:
    """The types that the apps declare, and those of each organisation.

    Raises SettingsError for a declaration that cannot be applied.
    """

    def __init__(self, apps: Iterable[App]) -> None:
        self._declared: dict[tuple[str, str], KnownType] = {}
        self._own: dict[int, dict[str, KnownType]] = {}
        self.checks_ranges = False
        self.checks_states = False
        for app in apps:
            for type in app.types:
                self._declare(app, type)

    def _declare(self, app: App, type: DeviceType) -> None:
        key = (app.name, type.name)
        if key in self._declared:
            raise SettingsError(f"App {app.name!r} declares the device type {type.name!r} twice.")
        try:
            check_type(type)
        except InvalidValueError as error:
            raise SettingsError(
                f"App {app.name!r}, device type {type.name!r}, {error.field}: {error.message}"
            ) from None
        known = KnownType(DeviceTypeRecord(type, app.name), checks_ranges=not app.flags_readings)
        self._declared[key] = known
        self._note(known)

    def _note(self, known: KnownType) -> None:
        # They stay true when such a type goes: then it is looked for, and not found.
        self.checks_ranges |= known.checks_ranges
        self.checks_states |= bool(known.states)

    def put(self, organization_id: int, record: DeviceTypeRecord) -> None:
        """Take up a type of an organisation's that was stored."""
        known = KnownType(record)
        self._own.setdefault(organization_id, {})[record.type.name] = known
        self._note(known)

    def remove(self, organization_id: int, name: str) -> None:
        """Forget a type of an organisation's."""
        self._own.get(organization_id, {}).pop(name, None)

    def known(self, organization_id: int, app: str, name: str) -> KnownType | None:
        """Return what applies to an organisation's devices of this app and type."""
        own: Mapping[str, KnownType] | None = self._own.get(organization_id)
        found = None if own is None else own.get(name)
        return found or self._declared.get((app, name))

    def known_of(self, device: Device | DeviceRecord) -> KnownType | None:
        """Return what applies to a device."""
        return self.known(device.organization_id, device.app, device.type)

    def own(self, organization_id: int, name: str) -> DeviceTypeRecord | None:
        """Return an organisation's own type."""
        found = self._own.get(organization_id, {}).get(name)
        return None if found is None else found.record

    def declared(self, name: str, app: str | None) -> DeviceTypeRecord | None:
        """Return an app's type: of this app, or of the first that declares one of this name."""
        for (owner, declared), known in sorted(self._declared.items(), key=lambda item: item[0]):
            if declared == name and app in (None, owner):
                return known.record
        return None

    def every(self, organization_id: int) -> Iterator[DeviceTypeRecord]:
        """Yield the apps' types by app and name, then the organisation's in the order made."""
        for _, known in sorted(self._declared.items(), key=lambda item: item[0]):
            yield known.record
        own = self._own.get(organization_id, {}).values()
        yield from sorted((known.record for known in own), key=lambda record: record.id)

    def topics_of(self, app: App, device: Device) -> tuple[Sequence[str], Sequence[str]]:
        """Return the templates of the topics that a device publishes on, and of those it reads.

        They are the app's; where the device's type names some, those that the app's cover.
        """
        known = self.known_of(device)
        publishes, subscribes = topics_of_app(app, device)
        if known is None:
            return publishes, subscribes
        type = known.record.type
        return _narrowed(publishes, type.publishes), _narrowed(subscribes, type.subscribes)

    def check_command(
        self, device: Device | DeviceRecord, name: str, parameters: dict[str, Any]
    ) -> None:
        """Raise InvalidValueError, naming the field, if the device's type refuses this command."""
        known = self.known_of(device)
        if known is None or not known.commands:
            return
        command = known.commands.get(name)
        if command is None:
            raise InvalidValueError(
                f"Devices of the type {device.type!r} take no command {name[:64]!r}; they take: "
                f"{', '.join(known.commands)}",
                field="name",
            )
        check_parameters(command, parameters)


def _narrowed(granted: Sequence[str], named: Sequence[str]) -> Sequence[str]:
    if not named:
        return granted
    # Places of the client stand for themselves here, and so are covered by the same place only.
    filters = fill(granted, {place: f"{{{place}}}" for place in PLACES}).filters
    return [each for each in named if any(covers(given, each) for given in filters)]
