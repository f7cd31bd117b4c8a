"""PresenceService: what is known of a device's presence, for whoever may read the device."""

from dataclasses import dataclass

from fleetwire.features.devices.presence_history import (
    FRESH,
    STEADY,
    PastChange,
    last_changes,
    list_changes,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit.services import Caller, DeviceRecord, Devices, Page
from fleetwire.store.database import Database


@dataclass(frozen=True)
class Aspect:
    """Whether something holds, since when and why; `holds` None = it is not judged."""

    holds: bool | None
    since_at: int | None
    reason: str | None


@dataclass(frozen=True)
class PresenceRecord:
    """Whether a device is there in each sense of the word.

    connected: it has a connection. fresh: its last message is not older than expected. reporting:
    both. `is_flapping`: it comes and goes so often that this is not told each time.
    """

    connected: Aspect
    reporting: Aspect
    fresh: Aspect
    is_flapping: bool
    last_seen_at: int | None


class PresenceService:
    """Reads presence as stored, which is what was told."""

    def __init__(self, db: Database, devices: Devices) -> None:
        self._db = db
        self._devices = devices

    async def get(self, caller: Caller, app: str, device_id: str) -> PresenceRecord:
        """Return a device's presence. Raises NotFoundError."""
        device = await self._devices.get(caller, app, device_id)
        last = await self._db.read(lambda c: last_changes(c, device.id))
        connected = _connected(device)
        fresh = _of(last.get(FRESH))
        steady = last.get(STEADY)
        return PresenceRecord(
            connected,
            _both(connected, fresh),
            fresh,
            steady is not None and not steady.holds,
            device.last_seen_at,
        )

    async def history(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[PastChange]:
        """Return what changed of a device's presence, newest first. Raises NotFoundError."""
        check_limit(limit)
        before_id = None if cursor is None else decode_cursor(cursor, 1)[0]
        device = await self._devices.get(caller, app, device_id)
        found = await self._db.read(lambda c: list_changes(c, device.id, before_id, limit + 1))
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)


def _connected(device: DeviceRecord) -> Aspect:
    return Aspect(
        device.connected, device.connected_since_at, device.connected_reason or "never connected"
    )


def _of(change: PastChange | None) -> Aspect:
    if change is None:
        return Aspect(None, None, None)
    return Aspect(change.holds, change.at, change.reason)


def _both(connected: Aspect, fresh: Aspect) -> Aspect:
    """It reports since the later of both began, and does not since the first of both ended."""
    if fresh.holds is None:
        return fresh
    missing = [aspect for aspect in (connected, fresh) if not aspect.holds]
    if missing:
        first = min(missing, key=lambda aspect: aspect.since_at or 0)
        return Aspect(False, first.since_at, first.reason)
    last = max((connected, fresh), key=lambda aspect: aspect.since_at or 0)
    return Aspect(True, last.since_at, last.reason)
