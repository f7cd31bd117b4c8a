"""Simulation: virtual devices that an app brings, for `fleetwire simulate <app>` and for tests.

An app's package may have a module `simulator` with a class `Simulator`:

    class Simulator(kit.simulation.Simulator):
        def __init__(self, settings: SimulationSettings) -> None: ...
        def devices(self) -> Sequence[VirtualDevice]: ...
        def summary(self) -> dict[str, str]: ...

What the devices do follows from the seed alone, as far as the server lets it: each has its own
`random.Random(f"{seed}:{number}")`, and no other source of chance.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec


class SimulationSettings(msgspec.Struct, frozen=True):
    """What is asked for. `interval_s` is the time between two messages of one device.

    `steps` is how many of them a device lives before it comes to its end by itself, if it counts
    them; None = until the simulation has ended. With it the same seed does the same to the last
    message, which a time cannot promise.
    """

    devices: int
    seed: int
    interval_s: float = 1.0
    fault_rate: float = 0.0
    steps: int | None = None


class Received(msgspec.Struct, frozen=True):
    """A message that came down to a virtual device."""

    topic: str
    payload: bytes
    command_id: str = ""  # of a command, by its Correlation Data; "" = the protocol has none

    def json(self) -> Any:
        """Return the payload as JSON. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.payload)


class Link(ABC):
    """A virtual device's connection. Its session outlives it, if the device keeps sessions."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Say whether the simulation has ended: come to an end, then."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect and subscribe; tries again, with pauses, until it is so or the end has come."""

    @abstractmethod
    async def publish(self, topic: str, body: object, *, qos: int = 1) -> bool:
        """Send what JSON can say, or bytes; return whether it was acknowledged.

        False is a connection that was lost, or a message that the server refused.
        """

    @abstractmethod
    async def receive(self, timeout_s: float) -> Received | None:
        """Return the next message, None if none came in time or the end has come."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Say goodbye: no Will is published."""

    @abstractmethod
    def drop(self) -> None:
        """Be gone without a word, as without power: the Will is published."""

    @abstractmethod
    async def pause(self, seconds: float) -> None:
        """Return after so long, or at once when the end has come."""


class VirtualDevice(ABC):
    """One device: how it connects, and its life."""

    device_id: str
    type: str = "device"
    client_id: str
    keeps_session: bool = False  # cleanSession=false: what comes while it is away waits for it
    will: tuple[str, bytes] | None = None  # topic and payload, QoS 1, not retained
    topic_filters: Sequence[str] = ()

    @abstractmethod
    async def live(self, link: Link) -> None:
        """Connect, send and receive until `link.is_over`, then say goodbye."""


class Simulator(ABC):
    """All virtual devices of an app, and the truth about what they did."""

    counts_steps: bool = False  # its devices end by themselves, after `settings.steps`

    @abstractmethod
    def __init__(self, settings: SimulationSettings) -> None: ...

    @abstractmethod
    def devices(self) -> Sequence[VirtualDevice]:
        """Return the devices, the same objects each time."""

    @abstractmethod
    def summary(self) -> dict[str, str]:
        """Return what happened, as the devices themselves know it, by its name."""

    def faults(self) -> list[str]:
        """Return in words what should not have happened; nothing = all is well."""
        return []
