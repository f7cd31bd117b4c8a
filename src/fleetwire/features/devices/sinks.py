"""ReportSink: what devices say of themselves becomes their rows."""

import json
from collections.abc import Callable, Sequence as SequenceOf
from typing import Any

from sqlalchemy import bindparam, select, update

from fleetwire.features.devices.tables import devices
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Effect, Event, Report
from fleetwire.store.database import Transaction

MAX_REPORTED_BYTES = 32 * 1024  # as JSON, for one device
CHUNK = 500  # keys in one SELECT

_update = (
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .values(
        status=bindparam("new_status"),
        reported=bindparam("new_reported", type_=devices.c.reported.type),
        updated_at=bindparam("at"),
    )
)


class ReportSink(Sink):
    """Merges reports into devices: fields that were not sent keep their last value.

    Many reports of one device in a batch cost one row. Where a device has reported more than
    MAX_REPORTED_BYTES, the fields it has not sent for longest make room; the message itself stays
    in its event.
    """

    def __init__(self, touch: Callable[[int, str], None] = lambda device, field: None) -> None:
        """`touch` is told which devices have another status, after the commit."""
        self._touch = touch

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        statuses: dict[int, str] = {}
        fields: dict[int, dict[str, Any]] = {}
        instants: dict[int, int] = {}
        for effect, entry in items:
            assert isinstance(effect, Report)
            device = effect.device.id
            instants[device] = entry.delivery.received_at
            if effect.status is not None:
                statuses[device] = effect.status
            own = fields.setdefault(device, {})
            for name, value in effect.fields.items():
                own.pop(name, None)  # the field sent last stands last
                own[name] = value
        rows = []
        changed: list[int] = []
        ids = list(fields)
        for start in range(0, len(ids), CHUNK):
            stored = tx.execute(
                select(devices.c.id, devices.c.status, devices.c.reported).where(
                    devices.c.id.in_(ids[start : start + CHUNK])
                )
            ).all()
            changed += [row.id for row in stored if statuses.get(row.id, row.status) != row.status]
            rows += [
                {
                    "device": row.id,
                    "new_status": statuses.get(row.id, row.status),
                    "new_reported": _merged(row.reported, fields[row.id]),
                    "at": instants[row.id],
                }
                for row in stored
            ]
        if rows:
            tx.execute(_update, rows)
        if changed:
            tx.after_commit(lambda: self._tell(changed))
        return []

    def _tell(self, changed: list[int]) -> None:
        for id in changed:
            self._touch(id, "status")


def _merged(stored: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """Return both, what was sent last at the end, of bounded size."""
    merged = {name: value for name, value in stored.items() if name not in sent} | sent
    size = len(json.dumps(merged))
    while size > MAX_REPORTED_BYTES:
        name = next(iter(merged))
        size -= len(json.dumps({name: merged.pop(name)}))
    return merged
