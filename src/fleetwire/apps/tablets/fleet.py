"""The fleet: tablets as the registry and our own rows know them together."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from fleetwire.apps.tablets.presence import APP
from fleetwire.apps.tablets.rows import add_row
from fleetwire.apps.tablets.tables import tablets
from fleetwire.kit import Caller, Device, DeviceRecord, Devices, NotFoundError, Store, Transaction
from fleetwire.kit.instants import iso

PAGE = 1000
KEY_DIGITS = 18  # more do not fit into 64 bits for certain


class Tablet:
    """One tablet: what the registry stores of it, and what it last said."""

    __slots__ = ("record", "row")

    def __init__(self, record: DeviceRecord, row: Row[Any]) -> None:
        self.record = record
        self.row = row

    def view(self) -> dict[str, Any]:
        """Return the tablet as the field reads it; 64-bit numbers as text."""
        row, attributes = self.row, self.record.attributes
        return {
            "id": row.id,
            "deviceCode": row.code,
            "name": self.record.name,
            "serialNumber": attributes.get("serialNumber"),
            "model": attributes.get("model"),
            "osVersion": attributes.get("osVersion"),
            "status": row.status,
            "connectionStatus": row.status,
            "statusReason": row.status_reason,
            "statusSince": _iso(row.status_since_at),
            "borrowStatus": row.borrow_status,
            "maintenanceStatus": row.maintenance_status,
            "latestProblem": row.problem,
            "latestSolution": row.solution,
            "battery": row.battery,
            "wifiStatus": row.wifi_status,
            "uptime": _text(row.uptime_ms),
            "isCharging": row.is_charging,
            "batteryHealth": row.battery_health,
            "chargingMethod": row.charging_method,
            "mobileDataEnabled": row.mobile_data_enabled,
            "networkConnected": row.network_connected,
            "screenOn": row.screen_on,
            "volumeLevel": row.volume_level,
            "bluetoothEnabled": row.bluetooth_enabled,
            "installedAppsCount": row.installed_apps_count,
            "bootTime": _text(row.boot_time_ms),
            "kioskMode": row.kiosk_mode,
            "latitude": row.latitude,
            "longitude": row.longitude,
            "accuracy": row.accuracy_m,
            "speed": row.speed,
            "heading": row.heading,
            "locatedAt": _iso(row.located_at),
            "lastSeen": _iso(row.last_seen_at),
            "createdAt": iso(self.record.created_at),
            "updatedAt": iso(max(row.updated_at, self.record.updated_at)),
        }


async def all_of(caller: Caller, devices: Devices, store: Store) -> list[Tablet]:
    """Return the organisation's tablets in the order of registration.

    Who is in the registry and has no row of ours yet is given one: from then on he can be named by
    his key.
    """
    records: list[DeviceRecord] = []
    cursor: str | None = None
    while True:
        page = await devices.list(caller, APP, limit=PAGE, cursor=cursor)
        records += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    rows = await store.read(lambda connection: _rows(connection, caller.organization_id))
    missing = [record for record in records if record.id not in rows]
    if missing:
        await store.write(lambda tx: _add(tx, missing))
        rows = await store.read(lambda connection: _rows(connection, caller.organization_id))
    return [Tablet(record, rows[record.id]) for record in records if record.id in rows]


async def one_of(caller: Caller, named: str, devices: Devices, store: Store) -> Tablet:
    """Return a tablet by our key or, if that is none, by its code. Raises NotFoundError."""
    caller.require("device.read")
    row = await store.read(lambda connection: find(connection, caller.organization_id, named))
    code = named if row is None else row.code
    record = await devices.get(caller, APP, code)
    if row is None:
        await store.write(lambda tx: _add(tx, [record]))
        row = await store.read(lambda connection: find(connection, record.organization_id, code))
    if row is None:
        raise NotFoundError(f"There is no device {named[:60]!r}.", field="id")
    return Tablet(record, row)


def device_of(tablet: Tablet, devices: Devices) -> Device:
    """Return the device as effects take it. Raises NotFoundError if it was removed meanwhile."""
    device = devices.find(APP, tablet.row.code)
    if device is None:
        raise NotFoundError(f"There is no device {tablet.row.code!r}.", field="id")
    return device


def find(connection: Connection, organization_id: int, named: str) -> Row[Any] | None:
    """Return the row of a tablet by our key or, if that is none, by its code."""
    own = select(tablets).where(tablets.c.organization_id == organization_id)
    if named.isascii() and named.isdigit() and len(named) <= KEY_DIGITS:
        found = connection.execute(own.where(tablets.c.id == int(named))).one_or_none()
        if found is not None:
            return found
    return connection.execute(own.where(tablets.c.code == named)).one_or_none()


def _rows(connection: Connection, organization_id: int) -> dict[int, Row[Any]]:
    found = connection.execute(select(tablets).where(tablets.c.organization_id == organization_id))
    return {row.id: row for row in found}


def _add(tx: Transaction, records: Sequence[DeviceRecord]) -> None:
    for record in records:
        is_there = select(tablets.c.id).where(tablets.c.id == record.id)
        if tx.execute(is_there).one_or_none() is None:
            add_row(tx, record.id, record.organization_id, record.device_id, record.created_at)


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
