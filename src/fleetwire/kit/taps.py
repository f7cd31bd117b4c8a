"""Taps: messages of the broker as they pass, for apps that hand them on to people.

    tap = taps.open(["chat/#"], seen)
    for message in tap.retained("chat/+"): ...

A tap looks on: it neither delays nor acknowledges anything. What must be stored before its sender
hears of it has a handler (`App.subscribe`) or comes through `Intake`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec


class Seen(msgspec.Struct, frozen=True):
    """A message that passed. `received_at` is in microseconds UTC.

    `client_id` is the sender's, "" = the house itself. `owners` are the organisations of registered
    devices that the topic belongs to; whoever belongs to none of them must not see it. Empty = it
    is no device's topic.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    received_at: int
    client_id: str = ""
    owners: frozenset[int] = frozenset()


class Tap(ABC):
    """Several Topic Filters; a message that matches more than one of them is seen once."""

    @abstractmethod
    def retained(self, topic_filter: str) -> Sequence[Seen]:
        """Return the retained messages that match, whether or not the tap sees such topics."""

    @abstractmethod
    def close(self) -> None:
        """See no more."""


class Taps(ABC):
    """The broker, as one looks on. All calls happen on the event loop."""

    @abstractmethod
    def open(self, topic_filters: Sequence[str], seen: Callable[[Seen], None]) -> Tap:
        """Call `seen` with each message that matches; it must return at once.

        Raises InvalidValueError for what is no Topic Filter.
        """

    @abstractmethod
    def owners_of(self, topic: str) -> frozenset[int]:
        """Return the organisations whose devices a topic belongs to."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Say whether the broker takes messages."""
