"""Messages: plain MQTT for people."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from fleetwire.kit.caller import Caller


class RecentMessage(msgspec.Struct):
    """A message seen on a watched topic."""

    topic: str
    payload: bytes
    qos: int
    received_at: int


class Messages(ABC):
    """Plain MQTT for people: publish, watch a topic filter, read what was seen."""

    @abstractmethod
    async def publish(
        self, caller: Caller, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> str:
        """Publish and return an id for the message. Raises InvalidValueError for a bad topic."""

    @abstractmethod
    async def retain(self, caller: Caller, topic: str, payload: bytes, *, qos: int = 1) -> None:
        """Publish and keep it for whoever subscribes later; return once it is stored.

        It is there after a restart, and until another one, or an empty payload, takes its place:
        what a device is to be set to. Raises as `publish`, TooManyError if there is no room,
        StoreUnavailableError.
        """

    @abstractmethod
    async def watch(self, caller: Caller, topic_filter: str, *, qos: int = 0) -> str:
        """Start keeping the latest messages that match, in memory; return the watch's id."""

    @abstractmethod
    def recent(self, caller: Caller, topic: str, limit: int) -> Sequence[RecentMessage]:
        """Return the latest messages seen on a topic or filter, newest first."""
