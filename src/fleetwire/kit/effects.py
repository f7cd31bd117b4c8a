"""What a handler may wish to become true.

A handler returns effects; the road stores all effects of a batch in one transaction and only then
acknowledges, publishes and pushes. Instants are microseconds since 1970-01-01 UTC.
"""

from typing import Any

from fleetwire.kit.device import Device

Value = float | int | bool | str | list[Any] | dict[str, Any]
"""What a reading can hold: a number, a truth value, text, or any JSON structure."""


class Effect:
    """The base of everything a handler can return."""

    __slots__ = ()


class Reading(Effect):
    """One value of one metric of one device at one instant.

    `unit` is a UCUM code, "" if unknown. `at` None means the instant the message was received.
    `flagged` keeps a value that is out of its plausible range recognisable. The message as sent is
    kept beside each reading.
    """

    __slots__ = ("at", "device", "flagged", "metric", "unit", "value")

    def __init__(
        self,
        device: Device,
        metric: str,
        value: Value,
        unit: str = "",
        at: int | None = None,
        flagged: bool = False,
    ) -> None:
        self.device = device
        self.metric = metric
        self.value = value
        self.unit = unit
        self.at = at
        self.flagged = flagged


class Report(Effect):
    """What a device says of itself: fields that are sent replace the stored ones, others stay.

    `status` (None = not said) goes to the device's status, `fields` are merged into what it has
    reported before.
    """

    __slots__ = ("device", "fields", "status")

    def __init__(
        self, device: Device, status: str | None = None, fields: dict[str, Any] | None = None
    ) -> None:
        self.device = device
        self.status = status
        self.fields = fields or {}


class Event(Effect):
    """Something that happened: stored in the same transaction, told to subscribers after it.

    `name` is dotted (`device.status`); `body` is what realtime clients get, the message's own
    fields first. Readings need none: a message that stored readings is told as the app's
    `readings_event`.
    """

    __slots__ = ("body", "device", "name")

    def __init__(self, name: str, device: Device, body: dict[str, Any]) -> None:
        self.name = name
        self.device = device
        self.body = body


class Alarm(Effect):
    """A condition that a person should know of. `severity`: info, warning or critical."""

    __slots__ = ("detail", "device", "message", "name", "severity")

    def __init__(
        self,
        device: Device,
        name: str,
        message: str,
        severity: str = "warning",
        detail: dict[str, Any] | None = None,
    ) -> None:
        self.device = device
        self.name = name
        self.message = message
        self.severity = severity
        self.detail = detail or {}


class Answer(Effect):
    """A device's answer to a command: closes it once, later answers change nothing.

    `state` says more than `success`: accepted or in_progress (nothing is closed yet), succeeded,
    failed or rejected.
    """

    __slots__ = ("command_id", "device", "reason", "result", "state", "success")

    def __init__(
        self,
        device: Device,
        command_id: str,
        success: bool,
        reason: str | None = None,
        result: Any = None,
        state: str = "",
    ) -> None:
        self.state = state
        self.device = device
        self.command_id = command_id
        self.success = success
        self.reason = reason
        self.result = result
