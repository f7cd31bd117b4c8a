"""What a tablet can be told, and what it says became of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from sqlalchemy import select

from fleetwire.apps.tablets import action_log, fields
from fleetwire.apps.tablets.presence import hear
from fleetwire.apps.tablets.rows import row_of
from fleetwire.apps.tablets.tables import actions
from fleetwire.kit import (
    Answer,
    Caller,
    Commands,
    Device,
    DomainError,
    Effect,
    Incoming,
    LiveEvent,
    NotAcceptedError,
    NotFoundError,
    SendCommand,
    Store,
    Transaction,
)

MAX_REASON_CHARS = 200
PACKAGE_NAME_CHARS = 255  # as long as Android takes
MESSAGE_CHARS = 4000
TITLE_CHARS = 200

# Action → its parameters and how long each may be.
ACTIONS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "LOCK_DEVICE": {},
        "UNLOCK_DEVICE": {},
        "RESTART_DEVICE": {},
        "OPEN_APP": {"packageName": PACKAGE_NAME_CHARS},
        "SHOW_MESSAGE": {"title": TITLE_CHARS, "message": MESSAGE_CHARS},
        "PLAY_SOUND": {},
        "ENABLE_KIOSK": {},
        "DISABLE_KIOSK": {},
        "OPEN_CAMERA": {},
        "TAKE_PHOTO": {},
        "BLUETOOTH_ON": {},
        "BLUETOOTH_OFF": {},
        "SHUTDOWN_DEVICE": {},
        "DISABLE_CAMERA": {},
        "ENABLE_CAMERA": {},
        "SEND_DATA_NOW": {},
        "WIFI_ON": {},
        "WIFI_OFF": {},
    }
)

# A tablet that restarts before it could acknowledge must not be told to again and again.
_NOT_REPEATED = frozenset({"RESTART_DEVICE", "SHUTDOWN_DEVICE", "TAKE_PHOTO", "PLAY_SOUND"})

# The event by which a tablet shows that it did what it was told.
_SHOWN_BY: Mapping[str, str] = MappingProxyType(
    {
        "LOCK": "LOCK_DEVICE",
        "UNLOCK": "UNLOCK_DEVICE",
        "KIOSK_ENABLED": "ENABLE_KIOSK",
        "KIOSK_DISABLED": "DISABLE_KIOSK",
        "APP_OPENED": "OPEN_APP",
        "BOOT": "RESTART_DEVICE",
        "SHUTDOWN": "SHUTDOWN_DEVICE",
    }
)
_SHOWN_WITHIN_US = 600_000_000  # a tablet that restarts may first update itself


class BadCommandError(DomainError):
    """An unknown action, or one whose parameters are not what it takes."""

    status = 400


def checked(action: object, params: object) -> tuple[str, dict[str, Any]]:
    """Return the action in capitals and its parameters. Raises BadCommandError."""
    name = action.strip().upper() if isinstance(action, str) else ""
    if name not in ACTIONS:
        raise BadCommandError(
            f"Unknown action {str(action)[:40]!r}: use one of {', '.join(ACTIONS)}", field="action"
        )
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise BadCommandError("params must be an object", field="params")
    known = ACTIONS[name]
    for each in params:
        if each not in known:
            takes = ", ".join(known) or "no parameters"
            raise BadCommandError(
                f"{name} does not know {str(each)[:40]!r}: it takes {takes}",
                field=f"params.{str(each)[:40]}",
            )
    for each, max_chars in known.items():
        value = params.get(each)
        if not isinstance(value, str) or not value.strip():
            raise BadCommandError(f"{name} needs {each}", field=f"params.{each}")
        if len(value) > max_chars:
            raise BadCommandError(
                f"{each} must have at most {max_chars} characters", field=f"params.{each}"
            )
    return name, params


def command_payload(name: str, parameters: dict[str, Any]) -> bytes:
    """Return what a tablet reads. Raises BadCommandError."""
    action, params = checked(name, parameters)
    return msgspec.json.encode({"action": action, "params": params})


def command_for(
    device: Device, action: str, params: dict[str, Any], expires_in_s: float, requested_by: str
) -> SendCommand:
    """Return the command as an effect; it waits for a tablet that sleeps until it expires."""
    return SendCommand(
        device,
        action,
        params,
        expires_in_s=expires_in_s,
        retry=False if action in _NOT_REPEATED else None,
        requested_by=requested_by,
    )


def receive_result(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Return the answer that closes a command. Raises NotAcceptedError naming the field."""
    command_id = fields.text(body, "commandId", 64)
    success = fields.truth(body, "success")
    if not command_id:
        raise NotAcceptedError("commandId is missing", field="commandId")
    if success is None:
        raise NotAcceptedError("success is missing", field="success")
    error = fields.text(body, "error", MAX_REASON_CHARS)
    row = row_of(tx, device, message.received_at)
    effects = hear(tx, device, row, message.received_at)
    return [*effects, Answer(device, command_id, success, error or None)]


async def event_told(event: LiveEvent, store: Store, commands: Commands) -> None:
    """A tablet that locks after it was told to lock has shown that the command succeeded."""
    action = _SHOWN_BY.get(str(event.body.get("eventType")))
    if action is None:
        return
    after_at = event.received_at - _SHOWN_WITHIN_US
    wanted = (
        select(actions.c.command_id)
        .where(
            actions.c.tablet == event.device.id,
            actions.c.kind == action_log.COMMAND,
            actions.c.action == action,
            actions.c.received_at >= after_at,
        )
        .order_by(actions.c.id.desc())
        .limit(1)
    )
    found = await store.read(lambda connection: connection.execute(wanted).one_or_none())
    if found is not None:
        await _close_if_shown(event.device, found.command_id, store, commands)


async def command_delivered(event: LiveEvent, store: Store, commands: Commands) -> None:
    """What a delivered command leads to may have been told before its PUBACK was stored."""
    await _close_if_shown(event.device, str(event.body.get("command_id")), store, commands)


async def _close_if_shown(
    device: Device, command_id: str, store: Store, commands: Commands
) -> None:
    try:
        command = await commands.get(Caller.system(device.organization_id), command_id)
    except NotFoundError:
        return
    shows = [told for told, action in _SHOWN_BY.items() if action == command.name]
    if command.state != "delivered" or not shows:
        return
    sent_at = max((step.at for step in command.timeline if step.state == "sent"), default=0)
    told = (
        select(actions.c.action)
        .where(
            actions.c.tablet == device.id,
            actions.c.kind == action_log.EVENT,
            actions.c.action.in_(shows),
            actions.c.received_at >= sent_at,
        )
        .limit(1)
    )

    def work(tx: Transaction) -> list[Effect]:
        found = tx.execute(told).one_or_none()
        return [] if found is None else [Answer(device, command_id, True, f"event {found.action}")]

    await store.apply(work)


async def with_states(
    lines: list[dict[str, Any]], caller: Caller, commands: Commands
) -> list[dict[str, Any]]:
    """Return lines of the log; those of commands say in which state these are now."""
    for line in lines:
        if line["commandId"] is not None:
            try:
                line["state"] = (await commands.get(caller, line["commandId"])).state
            except NotFoundError:
                line["state"] = None  # it is older than what the ledger keeps
    return lines
