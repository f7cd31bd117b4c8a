"""AlarmService: raised alarms for those who may see them."""

from typing import Any

import msgspec
from sqlalchemy import select

from fleetwire.features.alarms.tables import alarms
from fleetwire.features.devices.repository import keys_by_name, name_by_key
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database

READ = "telemetry.read"


class AlarmRecord(msgspec.Struct):
    """An alarm that was raised. `device_id` is "" if the device was removed since."""

    id: int
    app: str
    device_id: str
    name: str
    severity: str
    message: str
    detail: dict[str, Any]
    raised_at: int


class AlarmService:
    """Lists the organisation's alarms."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self,
        caller: Caller,
        *,
        app: str | None = None,
        device_id: str | None = None,
        severity: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AlarmRecord]:
        """Return alarms, newest first."""
        caller.require(READ)
        check_limit(limit)
        query = select(
            alarms.c.id,
            alarms.c.app,
            name_by_key(alarms.c.device),
            alarms.c.name,
            alarms.c.severity,
            alarms.c.message,
            alarms.c.detail,
            alarms.c.raised_at,
        ).where(alarms.c.organization_id == caller.organization_id)
        if app is not None:
            query = query.where(alarms.c.app == app)
        if device_id is not None:
            own = keys_by_name(caller.organization_id, device_id)
            query = query.where(alarms.c.device.in_(own))
        if severity is not None:
            query = query.where(alarms.c.severity == severity)
        if cursor is not None:
            query = query.where(alarms.c.id < decode_cursor(cursor, 1)[0])
        query = query.order_by(alarms.c.id.desc()).limit(limit + 1)
        found = await self._db.read(lambda c: [_alarm(row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)


def _alarm(row: Any) -> AlarmRecord:
    return AlarmRecord(*row)
