"""CredentialExpiry: which credentials end soon, told to people before devices are locked out.

A credential that another one of its device outlives is listed, but nobody is warned of it: that is
what a rotation looks like. Of the others it is told once, a week before: an event of the device,
and one line of the log for all of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import ColumnElement, Select, exists, insert, or_, select, tuple_

from fleetwire.errors import InvalidValueError, StoreUnavailableError
from fleetwire.features.devices.credentials import READ, DeviceCredentials
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.tables import (
    credential_certificates,
    credential_warnings,
    device_credentials,
    devices,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.effects import Event
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.devices")

EVENT: Final = "credential.expiring"
WARNED_US: Final = 7 * 86_400_000_000  # before the end
LONGEST_S: Final = 100 * 365 * 86_400.0
LOOK_EVERY_S: Final = 1.0  # at tokens that rotation has ended
WARN_EVERY_S: Final = 600.0
AT_ONCE: Final = 500  # warnings in one transaction: the road waits for it


class ExpiringCredential(msgspec.Struct):
    """A credential that ends soon. `is_outlived`: the device has another that lives longer."""

    id: int
    app: str
    device_id: str
    kind: str
    expires_at: int
    last_used_at: int | None
    is_outlived: bool


class CredentialExpiry:
    """Lists what ends soon, warns of it, and closes what is connected past the end of its token."""

    def __init__(
        self,
        db: Database,
        credentials: DeviceCredentials,
        registry: Registry,
        events: EventLog,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._credentials = credentials
        self._registry = registry
        self._events = events
        self._clock = clock
        self.expiring = 0  # within a week and not outlived, when it was last looked

    async def list(
        self, caller: Caller, within_s: float, *, limit: int = 50, cursor: str | None = None
    ) -> Page[ExpiringCredential]:
        """Return the organisation's usable credentials that end within this time, soonest first.

        Raises InvalidValueError, ForbiddenError.
        """
        caller.require(READ)
        check_limit(limit)
        if not 0 < within_s <= LONGEST_S:
            raise InvalidValueError("within must be some time, 100 years at most", field="within")
        now = self._clock()
        query = _ending(now, now + round(within_s * 1_000_000)).where(
            devices.c.organization_id == caller.organization_id
        )
        key = device_credentials.c.expires_at, device_credentials.c.id
        if cursor is not None:
            query = query.where(tuple_(*key) > decode_cursor(cursor, 2))
        query = query.order_by(*key).limit(limit + 1)
        found = await self._db.read(lambda c: [_record(row) for row in c.execute(query)])
        items = found[:limit]
        more = len(found) > limit
        last = items[-1] if items else None
        return Page(items, encode_cursor(last.expires_at, last.id) if last and more else None)

    async def warn(self) -> int:
        """Tell of what ends within a week and was not told of; return of how many."""
        now = self._clock()
        ending = _ending(now, now + WARNED_US).subquery()
        alone = select(ending).where(~ending.c.is_outlived)
        told = select(credential_warnings.c.credential)
        untold = alone.where(ending.c.id.not_in(told)).order_by(ending.c.id).limit(AT_ONCE)

        def work(tx: Transaction, rows: Sequence[Any]) -> None:
            marks = [{"credential": row.id, "told_at": now} for row in rows]
            tx.execute(insert(credential_warnings), marks)
            events = []
            for row in rows:
                device = self._registry.by_id(row.device)
                if device is not None:
                    body = {
                        "device_id": device.device_id,
                        "credential": row.id,
                        "expires_at": instants.iso(row.expires_at),
                    }
                    events.append(Event(EVENT, device, body))
            self._events.record(tx, events, received_at=now)

        told_now = 0
        # Looked for beside the writer: it is a walk over all credentials, mostly for nothing.
        while rows := await self._db.read(lambda c: c.execute(untold).all()):
            await self._db.write(lambda tx, rows=rows: work(tx, rows))  # type: ignore[misc]  # mypy cannot infer a lambda's default
            told_now += len(rows)
        self.expiring = await self._db.read(lambda c: len(c.execute(alone).all()))
        if told_now:
            log.warning("device credentials expire within a week", count=told_now)
        return told_now

    async def run(self) -> None:
        """Look every second at ended tokens, now and then at those that end soon, for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._credentials.close_ended()
            if loop.time() >= due:
                due = loop.time() + WARN_EVERY_S
                try:
                    await self.warn()
                except StoreUnavailableError as error:
                    log.warning("it is not known which credentials end", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)


def _ending(now: int, before: int) -> Select[Any]:
    """Return the query for usable credentials that end before that."""
    own, other = device_credentials, device_credentials.alias("others")
    certificates = credential_certificates
    outlived: ColumnElement[bool] = exists().where(
        other.c.device == own.c.device,
        other.c.id != own.c.id,
        other.c.revoked_at.is_(None),
        or_(other.c.expires_at.is_(None), other.c.expires_at > own.c.expires_at),
    )
    return (
        select(
            own.c.id,
            own.c.device,
            devices.c.app,
            devices.c.device_id,
            certificates.c.fingerprint,
            own.c.expires_at,
            own.c.last_used_at,
            outlived.label("is_outlived"),
        )
        .select_from(
            own.join(devices, devices.c.id == own.c.device).outerjoin(
                certificates, certificates.c.credential == own.c.id
            )
        )
        .where(own.c.revoked_at.is_(None), own.c.expires_at > now, own.c.expires_at <= before)
    )


def _record(row: Any) -> ExpiringCredential:
    kind = "token" if row.fingerprint is None else "certificate"
    return ExpiringCredential(
        row.id,
        row.app,
        row.device_id,
        kind,
        row.expires_at,
        row.last_used_at,
        bool(row.is_outlived),
    )
