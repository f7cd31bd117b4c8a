"""Sources: whose uuid it is, a sensor's or a device's."""

from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Table, bindparam, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.tables import devices, sensors
from fleetwire.kit import Device, Transaction

APP: Final = "farm"
SENSOR: Final = "sensor"  # the platform's type of a sensor; a device's is its deviceType

_find = {
    table.name: select(table).where(table.c.uuid == bindparam("uuid"))
    for table in (sensors, devices)
}


class Source(NamedTuple):
    """A sensor or a device, and which of both it is."""

    table: Table
    row: Row[Any]


def source_of(tx: Transaction, device: Device, now: int) -> Source:
    """Return what a device of the platform is here.

    One that nobody told the farm of, as it registered itself, becomes a sensor.
    """
    for table in (sensors, devices):
        row = tx.execute(_find[table.name], {"uuid": device.device_id}).one_or_none()
        if row is not None:
            return Source(table, row)
    made = rows.add(
        tx,
        sensors,
        tenant_id=device.organization_id,
        organization_id=rows.home_of(tx, device.organization_id, now),
        area_id=None,
        uuid=device.device_id,
        name=device.device_id,
        description="",
        sensor_type=device.type,
        status="active",
        is_enrolled=True,
        reported={},
        created_at=now,
        updated_at=now,
    )
    return Source(sensors, made)
