"""What a handler may wish to become true.

A handler returns effects; the road stores all effects of a batch in one transaction and only then
acknowledges, publishes and pushes. Instants are microseconds since 1970-01-01 UTC.
"""

from typing import Any

import msgspec

from fleetwire.kit.device import Device

Value = float | int | bool | str | list[Any] | dict[str, Any]
"""What a reading can hold: a number, a truth value, text, or any JSON structure."""


class Effect(msgspec.Struct):
    """The base of everything a handler can return."""


class Reading(Effect, gc=False):
    """One value of one metric of one device at one instant.

    `unit` is a UCUM code, "" if unknown. `at` None means the instant the message was received.
    `flagged` keeps a value that is out of its plausible range recognisable. The message as sent is
    kept beside each reading.
    """

    device: Device
    metric: str
    value: Value
    unit: str = ""
    at: int | None = None
    flagged: bool = False


class Report(Effect):
    """What a device says of itself: fields that are sent replace the stored ones, others stay.

    `status` (None = not said) goes to the device's status, `fields` are merged into what it has
    reported before.
    """

    device: Device
    status: str | None = None
    fields: dict[str, Any] = {}


class Event(Effect):
    """Something that happened: stored in the same transaction, told to subscribers after it.

    `name` is dotted (`device.status`); `body` is what realtime clients get, the message's own
    fields first. Readings need none: a message that stored readings is told as the app's
    `readings_event`.
    """

    name: str
    device: Device
    body: dict[str, Any]


class Alarm(Effect):
    """A condition that a person should know of. `severity`: info, warning or critical."""

    device: Device
    name: str
    message: str
    severity: str = "warning"
    detail: dict[str, Any] = {}


class Answer(Effect):
    """A device's answer to a command: closes it once, later answers change nothing.

    `state` says more than `success`: accepted or in_progress (nothing is closed yet), succeeded,
    failed or rejected.
    """

    device: Device
    command_id: str
    success: bool
    reason: str | None = None
    result: Any = None
    state: str = ""
