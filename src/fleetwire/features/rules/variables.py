"""Variables: what chains name of devices, its newest value, and which chains it wakes.

One Variable stands for one metric of one device of one organisation, however many chains name it.
Chains hold the variables themselves, so that looking at a value costs no search; a reading finds
its variable by the device's key and the metric's name. A device of another organisation has no
variable here, whatever it is called.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fleetwire.features.rules.seen import Seen
from fleetwire.kit.device import Device

if TYPE_CHECKING:
    from fleetwire.features.rules.program import Program


class Name(NamedTuple):
    """What a variable is called."""

    organization_id: int
    app: str
    device_id: str
    key: str


class Held:
    """Since when a test has been true of a variable without a break.

    A device's clock and ours may differ, and what was gathered while it was away comes at once. So
    the time is measured by both clocks, each with itself, and the longer one counts.
    """

    __slots__ = ("_test", "is_loaded", "length_us", "since")

    def __init__(self, test: Callable[[Seen | None, int], bool], length_us: int) -> None:
        self._test = test
        self.length_us = length_us
        self.since: Seen | None = None
        self.is_loaded = False  # has it been shown what is stored

    def note(self, seen: Seen) -> None:
        """Take up the next value."""
        try:
            is_so = self._test(seen, seen.received_at)
        except RecursionError:  # lists within lists without end
            is_so = False
        if not is_so:
            self.since = None
        elif self.since is None:
            self.since = seen

    def is_long_enough(self, seen: Seen, now: int) -> bool:
        """Say whether it has been true for the whole length."""
        since = self.since
        return since is not None and (
            seen.at - since.at >= self.length_us or now - since.received_at >= self.length_us
        )


class Variable:
    """A metric of a device. `seen` is its newest value, None if there is none."""

    __slots__ = ("held", "is_loaded", "name", "programs", "seen")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.seen: Seen | None = None
        self.is_loaded = False  # is `seen` what is stored
        self.programs: dict[int, Program] = {}  # those that it wakes
        self.held: list[Held] = []

    def note(self, seen: Seen) -> None:
        """Take up a value; what is older than the newest one changes nothing."""
        if self.seen is None or seen.at >= self.seen.at:
            self.seen = seen
            for each in self.held:
                each.note(seen)


class Variables:
    """All variables that chains name. `find_device` returns a device by app and name."""

    def __init__(self, find_device: Callable[[str, str], Device | None]) -> None:
        self._find_device = find_device
        self._by_name: dict[Name, Variable] = {}
        self._of_device: dict[tuple[int, str, str], dict[str, Variable]] = {}
        # By the key of a device that is registered: what a reading is looked up in, and what the
        # writer's thread asks whether anybody wants to know of it.
        self.watched: dict[int, dict[str, Variable]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._by_name.values())

    def get(self, name: Name) -> Variable | None:
        """Return the variable of this name, if a chain names it."""
        return self._by_name.get(name)

    def take(self, name: Name) -> Variable:
        """Return the variable of this name, made anew if no chain has named it before."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Variable(name)
            owner = name[:3]
            self._of_device.setdefault(owner, {})[name.key] = found
            device = self._device_of(name)
            if device is not None:
                self.watched[device.id] = self._of_device[owner]
        return found

    def _device_of(self, name: Name) -> Device | None:
        """Return the device of this name, if it is that organisation's."""
        device = self._find_device(name.app, name.device_id)
        if device is None or device.organization_id != name.organization_id:
            return None
        return device

    def drop(self, variables: Iterable[Variable]) -> None:
        """Forget those of these variables that wake nobody."""
        for variable in variables:
            name = variable.name
            if variable.programs or self._by_name.get(name) is not variable:
                continue
            del self._by_name[name]
            of_device = self._of_device[name[:3]]
            del of_device[name.key]
            if not of_device:
                del self._of_device[name[:3]]
                device = self._device_of(name)
                if device is not None:
                    self.watched.pop(device.id, None)

    def device_added(self, device: Device) -> None:
        """Take up a device that was registered."""
        found = self._of_device.get((device.organization_id, device.app, device.device_id))
        if found is not None:
            self.watched[device.id] = found

    def device_removed(self, id: int) -> None:
        """Forget a device, and what it had said."""
        for variable in self.watched.pop(id, {}).values():
            variable.seen = None
            for each in variable.held:
                each.since = None
