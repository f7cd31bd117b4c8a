"""What a handler may wish to become true.

A handler returns effects; the road stores all effects of a batch in one transaction and only then
acknowledges, publishes and pushes. Instants are microseconds since 1970-01-01 UTC.
"""

import secrets
from hashlib import blake2b
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


class SendCommand(Effect):
    """A command to a device: stored with what caused it, published after that is committed.

    It survives a kill at any moment. The terms are those of `Commands.send`: it is not delivered
    later than `expires_in_s` seconds, of a `lane` one command is under way at a time, and `retry`
    None means that it is sent again where it is unknown whether the device has it, unless it has an
    idempotency key. `payload` None = as the app's `command_payload` makes it.

    `id` is the command's, known before it is stored, for the app's own rows. With an idempotency
    key it follows from device and key: the same command again is the same id, and is sent once.
    """

    device: Device
    name: str
    parameters: dict[str, Any] = {}
    expires_in_s: float = 60.0
    idempotency_key: str | None = None
    lane: str | None = None
    retry: bool | None = None
    payload: bytes | None = None
    requested_by: str = "system"
    id: str = ""

    def __post_init__(self) -> None:
        if self.id:
            return
        if self.idempotency_key is None:
            self.id = secrets.token_hex(16)
        else:
            said = f"{self.device.id}/{self.idempotency_key}".encode()
            self.id = blake2b(said, digest_size=16).hexdigest()
