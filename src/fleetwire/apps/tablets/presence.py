"""ONLINE and OFFLINE: by what a tablet sends, by its session, its Will and its silence."""

from typing import Any

from sqlalchemy import ColumnElement, Row, select, true

from fleetwire.apps.tablets.rows import OFFLINE, ONLINE, change_row, find_row
from fleetwire.apps.tablets.tables import tablets
from fleetwire.kit import (
    Caller,
    Device,
    Devices,
    Effect,
    Event,
    LiveEvent,
    NotFoundError,
    Report,
    Result,
    Store,
    Transaction,
)
from fleetwire.kit.instants import iso, parse

APP = "tablets"
STATUS_EVENT = "device.status"
AT_ONCE = 500  # tablets that fall silent in one transaction: messages wait meanwhile


def status_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return what `device_status` tells of a tablet: all that is known, not what was sent last."""
    boot_time_ms, last_seen_at = row["boot_time_ms"], row["last_seen_at"]
    since_at = row["status_since_at"]
    return {
        "battery": row["battery"],
        "wifiStatus": row["wifi_status"],
        "isCharging": row["is_charging"],
        "batteryHealth": row["battery_health"],
        "chargingMethod": row["charging_method"],
        "mobileDataEnabled": row["mobile_data_enabled"],
        "networkConnected": row["network_connected"],
        "screenOn": row["screen_on"],
        "volumeLevel": row["volume_level"],
        "bluetoothEnabled": row["bluetooth_enabled"],
        "installedAppsCount": row["installed_apps_count"],
        "bootTime": None if boot_time_ms is None else str(boot_time_ms),
        "lastSeen": None if last_seen_at is None else iso(last_seen_at),
        "status": row["status"],
        "reason": row["status_reason"],
        "since": None if since_at is None else iso(since_at),
    }


def hear(
    tx: Transaction,
    device: Device,
    row: Row[Any],
    at: int,
    said: dict[str, Any] | None = None,
) -> list[Effect]:
    """Note that the tablet has sent something: it is there. `said` are columns that it changes."""
    values = (said or {}) | {"last_seen_at": max(at, row.last_seen_at or 0), "updated_at": at}
    if row.status != ONLINE:
        values |= {"status": ONLINE, "status_reason": "message", "status_since_at": at}
    now = change_row(tx, row, values)
    return [] if row.status == ONLINE else _changed(device, now)


def go_offline(
    tx: Transaction, device: Device, row: Row[Any], reason: str, at: int
) -> list[Effect]:
    """Note that the tablet has gone; nothing but its status changes. Nothing twice."""
    if row.status == OFFLINE:
        return []
    values = {"status": OFFLINE, "status_reason": reason, "status_since_at": at, "updated_at": at}
    return _changed(device, change_row(tx, row, values))


def _changed(device: Device, row: dict[str, Any]) -> list[Effect]:
    return [Report(device, row["status"]), Event(STATUS_EVENT, device, status_of(row))]


async def session_began(event: LiveEvent, store: Store) -> None:
    """A tablet with credentials of its own has connected: it is there before it says a word."""
    device, at = event.device, parse(event.body["since"])

    def work(tx: Transaction) -> list[Effect]:
        row = find_row(tx, device)
        # A Will may have been stored since: it counts for more.
        if row is None or (row.status_since_at or 0) > at:
            return []
        return hear(tx, device, row, at)

    await store.apply(work)


async def session_ended(event: LiveEvent, store: Store) -> None:
    """Its last connection has ended. What it has sent since, on another one, counts for more."""
    reason = str(event.body.get("reason", "disconnected"))
    await _end_session(store, event.device, reason, parse(event.body["since"]))


async def _end_session(store: Store, device: Device, reason: str, at: int) -> None:
    def work(tx: Transaction) -> list[Effect]:
        row = find_row(tx, device)
        if row is None or (row.last_seen_at or 0) > at:
            return []
        return go_offline(tx, device, row, reason[:64], at)

    await store.apply(work)


class Restless:
    """Tablets that come and go so often that the house does not tell each time: they are looked at.

    Whoever flaps when the house ends does not when it begins again, so nothing of it is stored.
    """

    def __init__(self) -> None:
        self._devices: dict[int, Device] = {}

    def began(self, event: LiveEvent) -> None:
        """It flaps from now on."""
        self._devices[event.device.id] = event.device

    def ended(self, event: LiveEvent) -> None:
        """It keeps still, and each change is told again."""
        self._devices.pop(event.device.id, None)

    async def look(self, store: Store, devices: Devices) -> None:
        """Take for gone those whose session has ended after they last sent something."""
        for device in list(self._devices.values()):
            try:
                record = await devices.get(
                    Caller.system(device.organization_id), APP, device.device_id
                )
            except NotFoundError:
                self._devices.pop(device.id, None)
                continue
            if not record.connected and record.connected_since_at is not None:
                reason = record.connected_reason or "disconnected"
                await _end_session(store, device, reason, record.connected_since_at)


async def mark_silent(store: Store, devices: Devices, silent_after_s: float, at: int) -> None:
    """Take for gone whoever has sent nothing for so long at this instant; so many at a time."""
    before_at = at - round(silent_after_s * 1e6)
    await _mark_gone(store, devices, tablets.c.last_seen_at < before_at, "silent", at)


async def mark_all_gone(store: Store, devices: Devices, at: int) -> None:
    """Take everybody for gone: where the server was not, no connection is."""
    while await _mark_gone(store, devices, true(), "restart", at):
        pass


async def _mark_gone(
    store: Store, devices: Devices, which: ColumnElement[bool], reason: str, at: int
) -> int:
    """Return how many have gone, which is AT_ONCE at most."""
    online = (tablets.c.status == ONLINE) & which
    found = await store.read(
        lambda connection: connection.execute(
            select(tablets.c.code).where(online).limit(AT_ONCE)
        ).all()
    )
    known = [devices.find(APP, each.code) for each in found]

    def work(tx: Transaction) -> Result[int]:
        effects: list[Effect] = []
        gone = 0
        for device in known:
            if device is None:
                continue
            row = tx.execute(select(tablets).where(tablets.c.id == device.id, online)).one_or_none()
            if row is not None:
                effects += go_offline(tx, device, row, reason, at)
                gone += 1
        return Result(gone, effects)

    return await store.apply(work) if found else 0
