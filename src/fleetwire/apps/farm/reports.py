"""Reports: figures of a farm, each a page of rows."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, case, func, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.tables import (
    areas,
    data_streams,
    devices,
    organizations,
    sensors,
    telemetry,
)
from fleetwire.kit.instants import iso

DAY_US: Final = 86_400_000_000
DEVIATIONS: Final = 3.0  # of the mean, past which a value stands out
LEAST_VALUES: Final = 10  # of which a mean says something

Found = tuple[list[dict[str, Any]], int]
"""The rows of a page, and how many there are on all pages."""


class Part:
    """Which part of a report is asked for: page 1 is the first."""

    def __init__(self, tenant_id: int, organization_id: int | None, page: int, limit: int) -> None:
        self.tenant_id = tenant_id
        self.organization_id = organization_id
        self.limit = limit
        self.offset = (page - 1) * limit

    def of(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions on a table of organisations' things."""
        where: list[ColumnElement[bool]] = [table.c.tenant_id == self.tenant_id]
        if self.organization_id is not None:
            own = table.c.id if table is organizations else table.c.organization_id
            where.append(own == self.organization_id)
        return where

    def cut(self, asked: Select[Any]) -> Select[Any]:
        """Return the page of a question."""
        return asked.limit(self.limit).offset(self.offset)


def device_status(connection: Connection, part: Part, now: int) -> Found:
    """Return devices with their status and what they have said of themselves."""
    where = part.of(devices)
    found = connection.execute(part.cut(select(devices).where(*where).order_by(devices.c.id)))
    return [rows.shown(each) for each in found], rows.count(connection, devices, *where)


def sensor_telemetry(connection: Connection, part: Part, now: int) -> Found:
    """Return for each variable how many values it has, and their figures."""
    where = part.of(sensors)
    number, at = data_streams.c.number, data_streams.c.received_at
    asked = (
        select(
            sensors.c.id,
            sensors.c.uuid,
            sensors.c.name,
            telemetry.c.id.label("variable"),
            telemetry.c.variable_name,
            telemetry.c.unit,
            func.count(data_streams.c.id).label("values"),
            func.min(number).label("least"),
            func.max(number).label("most"),
            func.avg(number).label("mean"),
            func.max(at).label("last_at"),
        )
        .join(telemetry, telemetry.c.sensor_id == sensors.c.id)
        .outerjoin(data_streams, data_streams.c.telemetry_data_id == telemetry.c.id)
        .where(*where)
        .group_by(
            sensors.c.id,
            sensors.c.uuid,
            sensors.c.name,
            telemetry.c.id,
            telemetry.c.variable_name,
            telemetry.c.unit,
        )
        .order_by(telemetry.c.id)
    )
    shown = [
        {
            "sensorId": row.id,
            "sensorUuid": row.uuid,
            "sensorName": row.name,
            "telemetryDataId": row.variable,
            "variableName": row.variable_name,
            "unit": row.unit,
            "count": row[6],
            "min": row.least,
            "max": row.most,
            "avg": row.mean,
            "lastAt": None if row.last_at is None else iso(row.last_at),
        }
        for row in connection.execute(part.cut(asked))
    ]
    total = connection.scalar(
        select(func.count(telemetry.c.id))
        .join(sensors, telemetry.c.sensor_id == sensors.c.id)
        .where(*where)
    )
    return shown, int(total or 0)


def organization_hierarchy(connection: Connection, part: Part, now: int) -> Found:
    """Return farms with their areas, and how many sensors and devices are in them."""
    where = part.of(organizations)
    asked = select(organizations).where(*where).order_by(organizations.c.id)
    shown = []
    for row in connection.execute(part.cut(asked)).all():
        own = connection.execute(
            select(areas).where(areas.c.organization_id == row.id).order_by(areas.c.id)
        ).all()
        shown.append(
            {
                **rows.shown(row),
                "areas": [
                    {**rows.shown(each), **_held(connection, "area_id", each.id)} for each in own
                ],
                **_held(connection, "organization_id", row.id),
            }
        )
    return shown, rows.count(connection, organizations, *where)


def area_utilization(connection: Connection, part: Part, now: int) -> Found:
    """Return areas with what stands in them and how many values came within a day."""
    where = part.of(areas)
    shown = []
    for row in connection.execute(part.cut(select(areas).where(*where).order_by(areas.c.id))).all():
        values = connection.scalar(
            select(func.count(data_streams.c.id))
            .join(telemetry, telemetry.c.id == data_streams.c.telemetry_data_id)
            .join(sensors, sensors.c.id == telemetry.c.sensor_id)
            .where(sensors.c.area_id == row.id, data_streams.c.received_at >= now - DAY_US)
        )
        held = _held(connection, "area_id", row.id)
        shown.append(
            {
                "areaId": row.id,
                "name": row.name,
                "organizationId": row.organization_id,
                **held,
                "valuesOfADay": int(values or 0),
                "inUse": bool(values or held["devices"]),
            }
        )
    return shown, rows.count(connection, areas, *where)


def sensor_anomaly(connection: Connection, part: Part, now: int) -> Found:
    """Return values of the last day that stand far out from the others of their variable."""
    where = part.of(sensors)
    number, at = data_streams.c.number, data_streams.c.received_at
    of_a_day = at >= now - DAY_US
    figures = (
        select(
            data_streams.c.telemetry_data_id.label("variable"),
            func.avg(number).label("mean"),
            func.avg(number * number).label("squares"),
        )
        .where(data_streams.c.tenant_id == part.tenant_id, of_a_day, number.is_not(None))
        .group_by(data_streams.c.telemetry_data_id)
        .having(func.count(number) >= LEAST_VALUES)
        .subquery()
    )
    variance = figures.c.squares - figures.c.mean * figures.c.mean
    distance = number - figures.c.mean
    stands_out = distance * distance > DEVIATIONS**2 * case((variance < 0, 0.0), else_=variance)
    asked = (
        select(
            data_streams.c.id,
            number,
            at,
            data_streams.c.telemetry_data_id,
            telemetry.c.variable_name,
            sensors.c.uuid,
            figures.c.mean,
        )
        .join(figures, figures.c.variable == data_streams.c.telemetry_data_id)
        .join(telemetry, telemetry.c.id == data_streams.c.telemetry_data_id)
        .join(sensors, sensors.c.id == telemetry.c.sensor_id)
        .where(*where, of_a_day, stands_out)
    )
    shown = [
        {
            "id": row.id,
            "value": row.number,
            "recievedAt": iso(row.received_at),
            "telemetryDataId": row.telemetry_data_id,
            "variableName": row.variable_name,
            "sensorUuid": row.uuid,
            "mean": row.mean,
        }
        for row in connection.execute(part.cut(asked.order_by(at.desc(), data_streams.c.id.desc())))
    ]
    total = connection.scalar(select(func.count()).select_from(asked.subquery()))
    return shown, int(total or 0)


def _held(connection: Connection, column: str, id: int) -> dict[str, int]:
    return {
        "sensors": rows.count(connection, sensors, sensors.c[column] == id),
        "devices": rows.count(connection, devices, devices.c[column] == id),
    }
