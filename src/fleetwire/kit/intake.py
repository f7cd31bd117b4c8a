"""Intake: messages that come by HTTP or whatever else, taken as if they had come by MQTT."""

from abc import ABC, abstractmethod
from typing import Any

import msgspec

from fleetwire.kit.caller import Caller


class Outcome(msgspec.Struct, frozen=True):
    """What became of a message. Refused ones are in quarantine, with this reason."""

    is_stored: bool
    reason: str = ""
    field: str | None = None  # of the payload, where one is at fault
    reason_code: int = 0  # what an MQTT 5 sender would be told
    value: Any = None  # of the Result that the handler returned


class Intake(ABC):
    """The road for every protocol: same handler, same rows, same quarantine."""

    @abstractmethod
    async def receive(self, caller: Caller, topic: str, payload: bytes, *, qos: int = 1) -> Outcome:
        """Carry a message and return what became of it, once that is stored.

        A caller that is a device may publish what its credential may; anybody else needs
        `message.publish`, and the topic's device must be of his organisation. Raises
        InvalidValueError for a topic that no app has a handler for, NotFoundError for a device that
        is not the caller's, ForbiddenError, TooManyError if the road is full, and
        StoreUnavailableError if it is not known in time what became of it: then it may yet be
        stored, so a sender repeats it.
        """
