"""Terms: what is asked of a command beside its device, checked."""

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.commands.states import ALL, QUEUED
from fleetwire.features.devices.rules import check_text
from fleetwire.kit.device import Device

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_NAME_CHARS = 128
MAX_KEY_CHARS = 128
MAX_LANE_CHARS = 64
MAX_ACTOR_CHARS = 128
MIN_EXPIRES_IN_S = 1.0
MAX_EXPIRES_IN_S = 30 * 86_400.0


@dataclass(frozen=True)
class Terms:
    """One command to be sent.

    `may_repeat`: it may reach the device twice, where it is unknown whether it has. Of a `lane` one
    is under way at a time; with `supersedes` those that still wait in it are given up.
    """

    name: str
    parameters: dict[str, Any]
    payload: bytes
    expires_in_s: float
    lane: str | None
    supersedes: bool
    may_repeat: bool
    idempotency_key: str | None
    batch_id: str | None = None
    id_field: str | None = None  # where the payload, a JSON object, says the command's id

    def payload_for(self, command_id: str) -> bytes:
        """Return the bytes the device reads."""
        if self.id_field is None:
            return self.payload
        said: dict[str, Any] = msgspec.json.decode(self.payload, type=dict[str, Any])
        return msgspec.json.encode(said | {self.id_field: command_id})

    @property
    def request(self) -> str:
        """SHA-256 of what the idempotency key stands for, in hexadecimal."""
        said = (self.name, self.payload, self.expires_in_s, self.lane, self.supersedes)
        encoded = msgspec.json.encode((*said, self.may_repeat))
        return hashlib.sha256(encoded).hexdigest()


def check_states(states: Collection[str]) -> None:
    """Raise InvalidValueError unless all of these are states of a command."""
    if not ALL.issuperset(states):
        raise InvalidValueError(f"state must be one of {', '.join(sorted(ALL))}", field="state")


def terms_of(
    name: str,
    parameters: dict[str, Any],
    payload: bytes,
    *,
    expires_in_s: float,
    idempotency_key: str | None,
    lane: str | None,
    supersede: bool,
    retry: bool | None,
    id_field: str | None = None,
) -> Terms:
    """Return the terms of a command. Raises InvalidValueError naming the field at fault.

    Unless `retry` says otherwise, a command with an idempotency key is not repeated: who sends a
    key asks that it takes effect once.
    """
    check_text(name, "name", MAX_NAME_CHARS)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidValueError(
            f"The command must not have more than {MAX_PAYLOAD_BYTES} bytes.", field="parameters"
        )
    if not math.isfinite(expires_in_s) or not MIN_EXPIRES_IN_S <= expires_in_s <= MAX_EXPIRES_IN_S:
        raise InvalidValueError("expires_in must be 1s to 30d", field="expires_in")
    if idempotency_key is not None:
        check_text(idempotency_key, "Idempotency-Key", MAX_KEY_CHARS)
    if lane is not None:
        check_text(lane, "lane", MAX_LANE_CHARS)
    elif supersede:
        raise InvalidValueError("Only a command of a lane can supersede others", field="lane")
    may_repeat = idempotency_key is None if retry is None else retry
    return Terms(
        name, parameters, payload, expires_in_s, lane, supersede, may_repeat, idempotency_key,
        id_field=id_field,
    )  # fmt: skip


def rows_of(
    command_id: str, device: Device, terms: Terms, actor: str, created_at: int, expires_at: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of a new command: itself, and its terms."""
    row = {
        "id": command_id,
        "organization_id": device.organization_id,
        "app": device.app,
        "device": device.id,
        "name": terms.name,
        "parameters": terms.parameters,
        "payload": terms.payload_for(command_id),
        "state": QUEUED,
        "attempts": 0,
        "idempotency_key": terms.idempotency_key,
        "requested_by": actor[:MAX_ACTOR_CHARS],
        "created_at": created_at,
        "expires_at": expires_at,
        "updated_at": created_at,
    }
    beside = {
        "lane": terms.lane,
        "may_repeat": terms.may_repeat,
        "request": terms.request,
        "batch_id": terms.batch_id,
    }
    return row, beside
