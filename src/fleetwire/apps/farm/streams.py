"""Data streams: what sensors say, by whichever protocol it came, becomes rows here.

MQTT brings messages by itself; the adapters of HTTP, CoAP and Socket.IO make the same message and
give it to `Intake`. So there is one handler: one row, one event, one answer, one refusal.
"""

from typing import Any, Final

from sqlalchemy import Row, bindparam, insert, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.said import Said, number_of, read
from fleetwire.apps.farm.sources import Source, source_of
from fleetwire.apps.farm.tables import data_streams, sensors, telemetry
from fleetwire.kit import (
    Alarm,
    Device,
    Effect,
    Event,
    Incoming,
    NotAcceptedError,
    Raw,
    Reading,
    Result,
    Transaction,
)
from fleetwire.kit.instants import iso

STREAM_EVENT: Final = "farm.datastream"
URGENT_ALARM: Final = "urgent_value"
THRESHOLD_ALARM: Final = "outside_thresholds"
MOST_VARIABLES: Final = 200  # that a sensor which registered itself may name
HIGH: Final = "high"
NORMAL: Final = "normal"

# Statements that each message needs are made once: making one costs more than executing it.
_variables = select(telemetry).where(telemetry.c.sensor_id == bindparam("sensor"))
_same = select(data_streams).where(
    data_streams.c.telemetry_data_id == bindparam("variable"),
    data_streams.c.received_at == bindparam("at"),
)
_add = insert(data_streams).returning(data_streams.c.id, sort_by_parameter_order=True)


def receive_streams(
    device: Device, payload: Raw, message: Incoming, tx: Transaction
) -> Result[Any]:
    """Store the values of a message, all or none; return them as the wire has them, a list or one.

    Raises NotAcceptedError naming the field at fault.
    """
    said = read(payload, message.received_at)
    source = source_of(tx, device, message.received_at)
    if source.table is not sensors:
        raise NotAcceptedError(
            "This uuid is a device's, which has no variables: publish with that of the sensor"
        )
    named = _Variables(tx, source, message.received_at)
    pairs = [(named.of(each), each) for each in said]
    ids = _store(tx, device.organization_id, pairs, message.received_at)
    shown = [
        {
            "id": id,
            "value": each.value,
            "telemetryDataId": variable.id,
            "recievedAt": iso(each.at),
        }
        for id, (variable, each) in zip(ids, pairs, strict=True)
    ]
    is_batch = bool(said[0].path)
    return Result(shown if is_batch else shown[0], _effects(device, pairs, shown))


def _effects(
    device: Device, pairs: list[tuple[Row[Any], Said]], shown: list[dict[str, Any]]
) -> list[Effect]:
    effects: list[Effect] = []
    for variable, each in pairs:
        value = each.value
        if variable.datatype == "number" and isinstance(value, str):
            value = value if each.number is None else each.number
        name = variable.variable_name
        effects.append(Reading(device, name, value, variable.unit, each.at, each.is_outside))
        detail = {"variableName": name, "telemetryDataId": variable.id, "value": each.value}
        if each.urgent:
            effects.append(
                Alarm(device, URGENT_ALARM, f"{name} is urgent: {each.value}", "critical", detail)
            )
        elif each.is_outside:
            bounds = f"{_bound(each.low)} to {_bound(each.high)}"
            text = f"{name} is {each.value}, outside {bounds}"
            effects.append(Alarm(device, THRESHOLD_ALARM, text, "warning", detail))
    is_high = any(each.urgent or each.is_outside for _, each in pairs)
    body = {"uuid": device.device_id, "dataStreams": shown, "priority": HIGH if is_high else NORMAL}
    effects.append(Event(STREAM_EVENT, device, body))
    return effects


def _bound(number: float | None) -> str:
    return "…" if number is None else f"{number:g}"


def _store(
    tx: Transaction, tenant_id: int, pairs: list[tuple[Row[Any], Said]], created_at: int
) -> list[int]:
    """Return the rows' keys in order; a value that is stored already keeps its row."""
    ids: list[int | None] = []
    new: list[dict[str, Any]] = []
    for variable, each in pairs:
        # Without a time of its own the same message is another value.
        ids.append(None if each.at == created_at else _stored(tx, variable.id, each))
        if ids[-1] is None:
            new.append(
                {
                    "tenant_id": tenant_id,
                    "telemetry_data_id": variable.id,
                    "value": each.value,
                    "number": number_of(each.value),
                    "received_at": each.at,
                    "created_at": created_at,
                }
            )
    made = iter(tx.execute(_add, new).scalars().all() if new else ())
    return [next(made) if id is None else id for id in ids]


def _stored(tx: Transaction, variable: int, said: Said) -> int | None:
    for row in tx.execute(_same, {"variable": variable, "at": said.at}):
        if type(row.value) is type(said.value) and row.value == said.value:
            return int(row.id)
    return None


class _Variables:
    """The variables of a sensor, by number and by name."""

    def __init__(self, tx: Transaction, source: Source, now: int) -> None:
        self._tx = tx
        self._source = source
        self._now = now
        self._all = list(tx.execute(_variables, {"sensor": source.row.id}).all())

    def of(self, said: Said) -> Row[Any]:
        """Return the variable that a value is of. Raises NotAcceptedError."""
        key, name = said.telemetry_id, said.variable
        place = f"{said.path}." if said.path else ""
        if key is None and name is None:
            return self._only(place)
        found = [
            each
            for each in self._all
            if key in (None, each.id) and name in (None, each.variable_name)
        ]
        if found:
            return found[0]
        if key is None and name is not None and self._source.row.is_enrolled:
            return self._made(name, place)
        field = "telemetryDataId" if key is not None else "variableName"
        raise NotAcceptedError(
            f"The sensor has no variable {key if key is not None else name!r}"
            + (f" called {name!r}" if key is not None and name is not None else ""),
            field=place + field,
        )

    def _only(self, place: str) -> Row[Any]:
        if not self._all and self._source.row.is_enrolled:
            return self._made("value", place)
        if len(self._all) != 1:
            raise NotAcceptedError(
                f"The sensor has {len(self._all)} variables: say which, by telemetryDataId or "
                "variableName",
                field=f"{place}telemetryDataId",
            )
        return self._all[0]

    def _made(self, name: str, place: str) -> Row[Any]:
        if len(self._all) >= MOST_VARIABLES:
            raise NotAcceptedError(
                f"A sensor names {MOST_VARIABLES} variables at most by itself",
                field=f"{place}variableName",
            )
        made = rows.add(
            self._tx,
            telemetry,
            tenant_id=self._source.row.tenant_id,
            sensor_id=self._source.row.id,
            variable_name=name,
            datatype="any",
            unit="",
            created_at=self._now,
            updated_at=self._now,
        )
        self._all.append(made)
        return made
