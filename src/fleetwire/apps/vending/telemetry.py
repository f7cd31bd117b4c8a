"""Telemetry: what machines say of themselves, understood liberally, and what was stored of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select

from fleetwire.apps.vending.stock import LEVELS
from fleetwire.apps.vending.tables import machine_telemetry, temperature_logs
from fleetwire.kit import InvalidValueError, NotAcceptedError
from fleetwire.kit.instants import iso, parse
from fleetwire.kit.transaction import Transaction

MAX_FIELDS: Final = 64
MAX_SLOTS: Final = 100
MAX_TEXT: Final = 64
PORTION: Final = 500  # removed in one transaction, which others wait for
DOORS: Final = ("OPEN", "CLOSED")
# A machine in a hall or outside; a sensor that is broken says -127 or 85 and beyond.
TEMPERATURES: Final = (-60.0, 100.0)
CONFIG_FIELDS: Final = ("motorTimeout", "dropSensorDelay", "telemetryInterval")


@dataclass(frozen=True)
class Said:
    """A message of a machine; None = it does not say. `levels` are (slot number, level)."""

    at: int
    temperature: float | None
    humidity: float | None
    door: str | None
    rssi: int | None
    fw: str | None
    levels: list[tuple[int, str]]
    config: dict[str, Any]
    data: dict[str, Any]


def read(body: Mapping[str, Any], received_at: int) -> Said:
    """Return what a message says. Raises NotAcceptedError naming the field at fault."""
    if len(body) > MAX_FIELDS:
        raise NotAcceptedError(f"A message has at most {MAX_FIELDS} fields, not {len(body)}")
    at = received_at
    if body.get("timestamp") is not None:
        try:
            at = parse(body["timestamp"])
        except InvalidValueError as error:
            raise NotAcceptedError(error.message, field="timestamp") from None
    door = body.get("door")
    if door is not None:
        door = str(door).upper()
        if door not in DOORS:
            raise NotAcceptedError("door must be OPEN or CLOSED", field="door")
    fw = body.get("fw")
    if fw is not None and (not isinstance(fw, str | int | float) or len(str(fw)) > MAX_TEXT):
        raise NotAcceptedError(f"fw must be text of at most {MAX_TEXT} characters", field="fw")
    rssi = number(body, "rssi", -200, 100)
    return Said(
        at=at,
        temperature=_temperature(body),
        humidity=number(body, "humidity", 0, 100),
        door=door,
        rssi=None if rssi is None else round(rssi),
        fw=None if fw is None else str(fw),
        levels=_levels(body.get("slots")),
        config=_config(body),
        data=dict(body),
    )


def number(body: Mapping[str, Any], field: str, low: float, high: float) -> float | None:
    """Return a field's number, also one that came as text; None if it is not there.

    Raises NotAcceptedError.
    """
    value = body.get(field)
    if value is None or value == "":
        return None
    try:
        found = float(value) if not isinstance(value, bool | list | dict) else None
    except ValueError:
        found = None
    if found is None or not low <= found <= high:
        raise NotAcceptedError(f"{field} must be a number from {low} to {high}", field=field)
    return found


def store(tx: Transaction, machine_id: str, said: Said, received_at: int) -> None:
    """Store a message, and its temperature once more in the temperature log."""
    tx.execute(
        insert(machine_telemetry).values(
            machine_id=machine_id,
            at=said.at,
            temperature=said.temperature,
            humidity=said.humidity,
            door=said.door,
            rssi=said.rssi,
            fw=said.fw,
            data=said.data,
            received_at=received_at,
        )
    )
    if said.temperature is not None:
        log_temperature(tx, machine_id, said.temperature, said.humidity, said.at)


def log_temperature(
    tx: Transaction, machine_id: str, value: float, humidity: float | None, at: int
) -> int:
    """Store one line of the temperature log and return its id."""
    done = tx.execute(
        insert(temperature_logs).values(
            machine_id=machine_id, value=value, humidity=humidity, recorded_at=at
        )
    )
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def rows_of(
    connection: Connection,
    machine_id: str,
    *,
    limit: int,
    offset: int = 0,
    start_at: int | None = None,
    end_at: int | None = None,
) -> list[dict[str, Any]]:
    """Return a machine's messages, newest first."""
    query = select(machine_telemetry).where(machine_telemetry.c.machine_id == machine_id)
    if start_at is not None:
        query = query.where(machine_telemetry.c.at >= start_at)
    if end_at is not None:
        query = query.where(machine_telemetry.c.at <= end_at)
    query = query.order_by(machine_telemetry.c.at.desc(), machine_telemetry.c.id.desc())
    return [shown(row) for row in connection.execute(query.limit(limit).offset(offset))]


def temperatures_of(connection: Connection, machine_id: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest lines of the temperature log, the oldest of them first."""
    rows = connection.execute(
        select(temperature_logs)
        .where(temperature_logs.c.machine_id == machine_id)
        .order_by(temperature_logs.c.recorded_at.desc(), temperature_logs.c.id.desc())
        .limit(limit)
    ).all()
    return [
        {
            "id": row.id,
            "machine_id": row.machine_id,
            "value": row.value,
            "humidity": row.humidity,
            "recorded_at": iso(row.recorded_at),
        }
        for row in reversed(rows)
    ]


def summary(connection: Connection, machine_id: str, since_at: int) -> dict[str, Any]:
    """Return how many messages there are since an instant, and the range of their numbers."""
    columns = []
    for name in ("temperature", "humidity", "rssi"):
        column = machine_telemetry.c[name]
        columns += [
            func.min(column).label(f"{name}_min"),
            func.max(column).label(f"{name}_max"),
            func.avg(column).label(f"{name}_avg"),
        ]
    row = connection.execute(
        select(
            func.count().label("count"),
            func.min(machine_telemetry.c.at).label("first"),
            func.max(machine_telemetry.c.at).label("last"),
            *columns,
        ).where(machine_telemetry.c.machine_id == machine_id, machine_telemetry.c.at >= since_at)
    ).one()
    found = row._mapping
    return {
        "count": row.count if isinstance(row.count, int) else found["count"],
        "first": None if found["first"] is None else iso(found["first"]),
        "last": None if found["last"] is None else iso(found["last"]),
        **{
            name: {each: _rounded(found[f"{name}_{each}"]) for each in ("min", "max", "avg")}
            for name in ("temperature", "humidity", "rssi")
        },
    }


def prune(tx: Transaction, before_at: int) -> int:
    """Remove a portion of what came before an instant; return how many rows that were.

    Rows stand in the order in which they came, so looking at the first of them is enough.
    """
    removed = 0
    for table, name in ((machine_telemetry, "received_at"), (temperature_logs, "recorded_at")):
        first = tx.execute(select(table).order_by(table.c.id).limit(PORTION)).mappings()
        old = [row["id"] for row in first if row[name] < before_at]
        if old:
            tx.execute(delete(table).where(table.c.id.in_(old)))
        removed += len(old)
    return removed


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a message as the app's routes show it."""
    return {
        "id": row.id,
        "machine_id": row.machine_id,
        "timestamp": iso(row.at),
        "temperature": row.temperature,
        "humidity": row.humidity,
        "door": row.door,
        "rssi": row.rssi,
        "fw": row.fw,
        "data": row.data,
        "received_at": iso(row.received_at),
    }


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)


def _temperature(body: Mapping[str, Any]) -> float | None:
    for field in ("temperature", "temp", "value"):
        found = number(body, field, *TEMPERATURES)
        if found is not None:
            return found
    return None


def _levels(said: object) -> list[tuple[int, str]]:
    if said is None:
        return []
    if not isinstance(said, list) or len(said) > MAX_SLOTS:
        raise NotAcceptedError(f"slots must be a list of at most {MAX_SLOTS}", field="slots")
    levels = []
    for index, each in enumerate(said):
        field = f"slots.{index}"
        if not isinstance(each, dict):
            raise NotAcceptedError(f"{field} must be an object of id and level", field=field)
        id = number(each, "id", 0, 10_000)
        level = str(each.get("level", "")).upper()
        if id is None or level not in LEVELS:
            raise NotAcceptedError(
                f"{field} must have an id and a level of {', '.join(LEVELS)}", field=field
            )
        levels.append((round(id), level))
    return levels


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a machine says of its configuration, beside the rest or in an object `config`."""
    inner = body.get("config")
    found = {name: body[name] for name in CONFIG_FIELDS if body.get(name) is not None}
    if isinstance(inner, dict):
        found |= {name: value for name, value in inner.items() if len(name) <= MAX_TEXT}
    return found
