"""Machines: their rows, made for each device of the app when it is first spoken of."""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, case, func, insert, select, update

from fleetwire.apps.vending.payments import IS_SALE, KEPT
from fleetwire.apps.vending.tables import dispense_logs, machines, orders
from fleetwire.kit import Device, Event, NotFoundError
from fleetwire.kit.instants import iso
from fleetwire.kit.transaction import Transaction

APP: Final = "vending"
ONLINE: Final = "ONLINE"
OFFLINE: Final = "OFFLINE"
MAINTENANCE: Final = "MAINTENANCE"
STATUSES: Final = (ONLINE, OFFLINE, MAINTENANCE)
STATUS_EVENT: Final = "machine.status"


def find(connection: Connection, organization_id: int, machine_id: str) -> Row[Any]:
    """Return an organisation's machine. Raises NotFoundError."""
    row = connection.execute(
        select(machines).where(
            machines.c.id == machine_id, machines.c.organization_id == organization_id
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("Machine not found", field="machine_id")
    return row


def ensure(
    tx: Transaction, device: Device, now: int, *, name: str = "", location: str = ""
) -> Row[Any]:
    """Return the machine that a device is, made if it has no row yet."""
    asked = select(machines).where(machines.c.id == device.device_id)
    row = tx.execute(asked).one_or_none()
    if row is not None:
        return row
    tx.execute(
        insert(machines).values(
            id=device.device_id,
            organization_id=device.organization_id,
            name=name or device.device_id,
            location=location,
            status=OFFLINE,
            status_reason="never connected",
            status_since_at=now,
            connected=False,
            stock_source="count",
            desired_config={},
            reported_config={},
            created_at=now,
            updated_at=now,
        )
    )
    return tx.execute(asked).one()


def note(tx: Transaction, machine: Row[Any], now: int, **values: Any) -> None:
    """Store what is known of a machine; what is None says nothing and changes nothing."""
    told = {name: value for name, value in values.items() if value is not None}
    tx.execute(update(machines).where(machines.c.id == machine.id).values(updated_at=now, **told))


def set_status(
    tx: Transaction, machine: Row[Any], device: Device, status: str, reason: str, now: int
) -> list[Event]:
    """Change a machine's status; nothing is told if it is so already."""
    if machine.status == status:
        return []
    note(tx, machine, now, status=status, status_reason=reason, status_since_at=now)
    body = {
        "machine_id": machine.id,
        "status": status,
        "previous_status": machine.status,
        "reason": reason,
        "since": iso(now),
    }
    return [Event(STATUS_EVENT, device, body)]


def set_connected(
    tx: Transaction, device: Device, connected: bool, reason: str, now: int
) -> list[Event]:
    """Note that a machine's session began or ended; that is what online means."""
    machine = ensure(tx, device, now)
    if machine.connected == connected:
        return []
    note(tx, machine, now, connected=connected)
    return set_status(tx, machine, device, ONLINE if connected else OFFLINE, reason, now)


def config_gap(machine: Row[Any]) -> dict[str, Any]:
    """Return what the machine is wanted to do differently from what it says it does."""
    reported = machine.reported_config
    return {
        name: value
        for name, value in machine.desired_config.items()
        if name not in reported or reported[name] != value
    }


def shown(machine: Row[Any]) -> dict[str, Any]:
    """Return a machine as the app's routes show it."""
    gap = config_gap(machine)
    return {
        "id": machine.id,
        "machine_id": machine.id,
        "name": machine.name,
        "location": machine.location,
        "status": machine.status,
        "status_reason": machine.status_reason,
        "status_since": iso(machine.status_since_at),
        "connected": machine.connected,
        "door": machine.door,
        "rssi": machine.rssi,
        "fw": machine.fw,
        "temperature": machine.temperature,
        "humidity": machine.humidity,
        "stock_source": machine.stock_source,
        "config": {
            "desired": machine.desired_config,
            "reported": machine.reported_config,
            "pending": gap,
            "in_sync": not gap,
        },
        "last_seen": None if machine.last_seen_at is None else iso(machine.last_seen_at),
        "created_at": iso(machine.created_at),
    }


def config_topic(machine_id: str) -> str:
    """Return where a machine reads how it shall be set up, retained."""
    return f"vm/{machine_id}/config"


def encoded(desired: dict[str, Any]) -> bytes:
    """Return a configuration as the machine reads it, without a byte too many."""
    return json.dumps(desired, separators=(",", ":")).encode()


def unmet(connection: Connection) -> list[tuple[str, int, dict[str, Any]]]:
    """Return (machine, organisation, desired) of machines that do not report what is wanted."""
    rows = connection.execute(select(machines)).all()
    return [(row.id, row.organization_id, row.desired_config) for row in rows if config_gap(row)]


def connections(connection: Connection) -> list[tuple[str, int, bool]]:
    """Return (machine, organisation, whether its session is there) of all machines."""
    rows = connection.execute(
        select(machines.c.id, machines.c.organization_id, machines.c.connected)
    )
    return [(row.id, row.organization_id, row.connected) for row in rows]


def figures(connection: Connection, machine_id: str, since_at: int) -> dict[str, Any]:
    """Return a machine's orders by state, its revenue and how its attempts went."""
    own = and_(orders.c.machine_id == machine_id, orders.c.created_at >= since_at)
    rows = connection.execute(
        select(orders.c.status, func.count()).where(own).group_by(orders.c.status)
    )
    by_status = {str(status): int(count) for status, count in rows}
    revenue = connection.execute(
        select(func.coalesce(func.sum(KEPT), 0)).where(
            orders.c.machine_id == machine_id, orders.c.paid_at >= since_at, IS_SALE
        )
    ).scalar_one()
    attempts = connection.execute(
        select(
            func.count(),
            func.count(case((dispense_logs.c.success.is_(True), 1))),
            func.count(case((dispense_logs.c.success.is_(False), 1))),
            func.avg(dispense_logs.c.duration_ms),
        ).where(dispense_logs.c.machine_id == machine_id, dispense_logs.c.created_at >= since_at)
    ).one()
    total, succeeded, failed, average = attempts
    closed = succeeded + failed
    return {
        "orders": {"total": sum(by_status.values()), "by_status": by_status},
        "revenue": int(revenue),
        "dispenses": {
            "total": total,
            "succeeded": succeeded,
            "failed": failed,
            "success_rate": round(100 * succeeded / closed, 1) if closed else None,
            "average_duration_ms": None if average is None else round(float(average)),
        },
    }
