"""Device types: what devices of one kind measure, in which states they are, what they are asked.

    App("drinks", types=[
        DeviceType(
            "fridge",
            metrics=(Metric("temperature", "Cel", -5.0, 12.0),),
            states=("cooling", "idle", "defrosting"),
            commands=(CommandType("defrost", (Parameter("minutes", "integer", low=1, high=60),)),),
        ),
    ])

A type applies to the devices whose `type` is its name: an organisation's own type, or else that of
the device's app. What is left out is not looked at: a type without commands takes any command.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.device import Device
from fleetwire.kit.devices import DeviceRecord
from fleetwire.kit.paging import Page

ParameterKind = Literal["number", "integer", "text", "boolean", "list", "object"]


class MetricRange(msgspec.Struct, frozen=True):
    """The plausible range in one more unit; None = no bound. Both ends are plausible."""

    unit: str
    low: float | None = None
    high: float | None = None


class Metric(msgspec.Struct, frozen=True):
    """One thing that is measured.

    `unit` is a UCUM code. A reading outside [low, high] is kept, flagged, and raises an alarm
    `out_of_range`; `others` are the ranges in other units, and a reading in a unit that is named
    nowhere is not compared. `temperature` also means `inlet.temperature`, unless that is named too.
    """

    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    description: str = ""
    others: tuple[MetricRange, ...] = ()


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a command. `low` and `high` bound numbers, and the length of text and lists.

    `choices`, where there are any, are all the values that it can have.
    """

    name: str
    type: ParameterKind = "number"
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str | float, ...] = ()
    description: str = ""


class CommandType(msgspec.Struct, frozen=True):
    """One command. `parameters` are all that it takes; None = it takes whatever is sent."""

    name: str
    parameters: tuple[Parameter, ...] | None = None
    description: str = ""


class DeviceType(msgspec.Struct, frozen=True):
    """What devices of one kind are.

    `states` are those that a device can report as its status: another one is kept as it was said
    and raises an alarm `undeclared_state`. A command that is not among `commands`, or whose
    parameters are not as declared, is refused. `publishes` and `subscribes` are templates of the
    topics that such a device uses, of those that its app grants; none = all of them.
    """

    name: str
    description: str = ""
    metrics: tuple[Metric, ...] = ()
    states: tuple[str, ...] = ()
    commands: tuple[CommandType, ...] = ()
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()


class DeviceTypeRecord(msgspec.Struct):
    """A type and whose it is: an app's that declares it, or the organisation's own (`app` None)."""

    type: DeviceType
    app: str | None = None
    id: int = 0  # of an organisation's own
    created_at: int | None = None
    updated_at: int | None = None


class DeviceTypes(ABC):
    """The types of an organisation and of the apps that run here."""

    @abstractmethod
    def of(self, device: Device | DeviceRecord) -> DeviceType | None:
        """Return the type that applies to a device, from memory; None if there is none."""

    @abstractmethod
    def check_command(
        self, device: Device | DeviceRecord, name: str, parameters: dict[str, Any]
    ) -> None:
        """Raise InvalidValueError, naming the field, if the device's type refuses this command."""

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceTypeRecord]:
        """Return the apps' types, then the organisation's own; `search` must occur in the name."""

    @abstractmethod
    async def get(self, caller: Caller, name: str, *, app: str | None = None) -> DeviceTypeRecord:
        """Return the organisation's type of this name, or else an app's; `app`: that app's."""

    @abstractmethod
    async def create(self, caller: Caller, type: DeviceType) -> DeviceTypeRecord:
        """Add a type of the organisation's own. Raises ConflictError if it has one of this name."""

    @abstractmethod
    async def update(
        self,
        caller: Caller,
        name: str,
        change: Callable[[DeviceType], DeviceType],
        *,
        expects: Callable[[DeviceTypeRecord], None] = lambda record: None,
    ) -> DeviceTypeRecord:
        """Change a type of the organisation's own; both are called within the transaction."""

    @abstractmethod
    async def delete(self, caller: Caller, name: str) -> None:
        """Remove a type of the organisation's own. Raises ConflictError while devices are of it."""
