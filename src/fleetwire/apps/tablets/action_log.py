"""The action log: what a tablet told, what it was told, and what people did with it."""

from typing import Any

from sqlalchemy import Connection, insert, select

from fleetwire.apps.tablets import fields
from fleetwire.apps.tablets.presence import hear
from fleetwire.apps.tablets.rows import keep_newest, row_of
from fleetwire.apps.tablets.tables import actions
from fleetwire.kit import Device, Effect, Event, Incoming, NotAcceptedError, Transaction
from fleetwire.kit.instants import iso

ACTION_EVENT = "device.event"
KEPT = 10_000  # of each tablet
MAX_MESSAGE_CHARS = 1000

EVENT, COMMAND, CHECKOUT, MAINTENANCE = "event", "command", "checkout", "maintenance"
EVENT_TYPES = (
    "BOOT",
    "SHUTDOWN",
    "LOCK",
    "UNLOCK",
    "APP_OPENED",
    "APP_CLOSED",
    "KIOSK_ENABLED",
    "KIOSK_DISABLED",
    "ERROR",
)
_KIOSK = {"KIOSK_ENABLED": True, "KIOSK_DISABLED": False}


def receive_event(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Return the push `device_event`; KIOSK_* also sets the tablet's kiosk mode.

    Raises NotAcceptedError naming the field at fault.
    """
    named = fields.text(body, "eventType", 64)
    event_type = (named or "").strip().upper()
    if event_type not in EVENT_TYPES:
        raise NotAcceptedError(
            f"eventType must be one of {', '.join(EVENT_TYPES)}, not {named!r}", field="eventType"
        )
    said = fields.text(body, "message", MAX_MESSAGE_CHARS)
    at = fields.instant(body, "timestamp", message.received_at)
    row = row_of(tx, device, message.received_at)
    changed = {"kiosk_mode": _KIOSK[event_type]} if event_type in _KIOSK else None
    effects = hear(tx, device, row, message.received_at, changed)
    add(
        tx,
        device.id,
        EVENT,
        event_type,
        message=said,
        actor=f"device:{device.device_id}",
        received_at=message.received_at,
        at=at,
    )
    body_told = {"eventType": event_type, "message": said, "timestamp": iso(at)}
    return [*effects, Event(ACTION_EVENT, device, body_told)]


def add(
    tx: Transaction,
    tablet: int,
    kind: str,
    action: str,
    *,
    actor: str,
    received_at: int,
    at: int | None = None,
    message: str | None = None,
    params: dict[str, Any] | None = None,
    command_id: str | None = None,
) -> None:
    """Add a line to a tablet's log."""
    added = tx.execute(
        insert(actions).values(
            tablet=tablet,
            kind=kind,
            action=action,
            message=message,
            params=params,
            command_id=command_id,
            actor=actor[:128],
            at=received_at if at is None else at,
            received_at=received_at,
        )
    )
    id = added.inserted_primary_key[0]  # type: ignore[index]  # an insert has one
    keep_newest(tx, actions, tablet, KEPT, id)


def latest(
    connection: Connection, tablet: int, limit: int, offset: int = 0
) -> list[dict[str, Any]]:
    """Return lines of a tablet's log, newest first."""
    wanted = (
        select(actions)
        .where(actions.c.tablet == tablet)
        .order_by(actions.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return [
        {
            "id": str(each.id),
            "kind": each.kind,
            "action": each.action,
            "message": each.message,
            "params": each.params,
            "commandId": each.command_id,
            "by": each.actor,
            "timestamp": iso(each.at),
        }
        for each in connection.execute(wanted)
    ]
