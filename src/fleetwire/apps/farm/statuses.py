"""Statuses: what sensors and devices say of themselves."""

from typing import Any, Final

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.sources import source_of
from fleetwire.kit import (
    Device,
    Effect,
    Event,
    Incoming,
    InvalidValueError,
    NotAcceptedError,
    Report,
    Result,
    Transaction,
)
from fleetwire.kit.instants import iso, parse

STATUS_EVENT: Final = "farm.status"
MOST_STATUS: Final = 32
MOST_FIELDS: Final = 64


def receive_status(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> Result[dict[str, Any]]:
    """Store a status; what is not said of `metadata` keeps its last value.

    Raises NotAcceptedError naming the field at fault.
    """
    status = body.get("status")
    if not isinstance(status, str) or not 1 <= len(status) <= MOST_STATUS:
        raise NotAcceptedError(
            f"status must be text of 1 to {MOST_STATUS} characters", field="status"
        )
    fields = body.get("metadata")
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise NotAcceptedError("metadata must be an object", field="metadata")
    try:
        at = message.received_at if body.get("timestamp") is None else parse(body["timestamp"])
    except InvalidValueError as error:
        raise NotAcceptedError(error.message, field="timestamp") from None
    source = source_of(tx, device, message.received_at)
    reported = {**source.row.reported, **fields}
    if len(reported) > MOST_FIELDS:
        raise NotAcceptedError(f"metadata has more than {MOST_FIELDS} fields", field="metadata")
    rows.change(
        tx,
        source.table,
        source.row.id,
        reported_status=status,
        reported=reported,
        reported_at=at,
    )
    shown = {
        "deviceUuid": device.device_id,
        "status": status,
        "metadata": reported,
        "timestamp": iso(at),
    }
    effects: list[Effect] = [
        Report(device, status.lower(), fields),
        Event(STATUS_EVENT, device, {**shown, "organizationId": source.row.organization_id}),
    ]
    return Result(shown, effects)
