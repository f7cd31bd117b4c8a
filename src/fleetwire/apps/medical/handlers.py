"""What the devices' messages mean: readings, reports, alarms and events.

Hot: `receive_data` runs for every message, so the plain case (a number within its range, in a
known unit) takes the shortest way through and everything else steps aside into a function.
"""

from functools import lru_cache
from typing import Any

import msgspec

from fleetwire.apps.medical.types import FREE, HIGHEST, LOWEST, Metric, metric_of
from fleetwire.kit import (
    Alarm,
    Device,
    Effect,
    Event,
    NotAcceptedError,
    Raw,
    Reading,
    Report,
    Value,
)
from fleetwire.kit.instants import parse

DATA_EVENT = "device.data.received"
STATUS_EVENT = "device.status"
OUT_OF_RANGE = "out_of_range"

MAX_VALUES = 64  # per message; the largest device in the field sends nine
MAX_NAME_CHARS = 128  # as wide as the column
MAX_UNIT_CHARS = 32
MAX_STATUS_CHARS = 32

# Fields of a data message that describe the message and are no values themselves.
_ENVELOPE = frozenset({"device_id", "metric_type", "timestamp", "unit", "units", "type"})
_WAVEFORM = frozenset({"sample_rate", "samples"})


class _Data(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What most messages hold and no more; twice as quick to read as a dict of everything.

    Other fields must not be passed over: what is stored as sent must be readable.
    """

    device_id: Any = None
    metric_type: Any = None
    timestamp: Any = None
    value: Any = None
    unit: Any = None


_read_data = msgspec.json.Decoder(_Data).decode
_read_all = msgspec.json.Decoder(dict[str, Any]).decode


def receive_data(device_id: str, device: Device, body: Raw) -> list[Effect]:
    """Return one reading per value, and an alarm per value out of range.

    Raises NotAcceptedError, or InvalidValueError for the timestamp, naming the field at fault, or
    what msgspec has against the body.
    """
    fields: dict[str, Any] | None = None
    try:
        data = _read_data(body)
    except msgspec.ValidationError:  # mostly since it has other fields
        fields = _read_all(body)
        data = _Data(*map(fields.get, _Data.__struct_fields__))
    named = data.device_id
    if named != device_id and named is not None:
        _check_sender(named, device_id)
    metric_type = data.metric_type
    if metric_type.__class__ is not str:
        raise _bad_name(metric_type)
    at = data.timestamp
    if at is not None:
        at = parse(at)
    value = data.value
    if value is None:
        _check_name(metric_type)
        return _receive_named(device, metric_type, at, fields or _read_all(body))

    unit = data.unit
    if unit is not None and unit.__class__ is not str:
        raise _bad_unit("unit")
    metric, unit, low, high = _known(device.type, metric_type, unit)
    kind = value.__class__
    if (kind is float or kind is int) and low <= value <= high:
        return [Reading(device, metric_type, value, unit, at)]
    effects: list[Effect] = []
    _measure(effects, device, metric, metric_type, value, unit, at, "value")
    return effects


@lru_cache(4096)
def _known(
    device_type: str, metric_type: str, unit: str | None
) -> tuple[Metric, str, float, float]:
    """Return the metric, the unit in force and the plausible range in it, names checked.

    A fleet sends the same few hundred of these again and again.
    """
    _check_name(metric_type)
    metric = metric_of(device_type, metric_type)
    if unit is None:
        unit = metric.unit
    elif not _is_unit(unit):
        raise _bad_unit("unit")
    low, high = metric.range_in(unit)
    return metric, unit, low, high


def report_status(device_id: str, device: Device, body: dict[str, Any]) -> list[Effect]:
    """Return what the device says of itself; what it does not say keeps its last value.

    Raises NotAcceptedError naming the field at fault.
    """
    named = body.get("device_id")
    if named is not None:
        _check_sender(named, device_id)
    status = body.get("status")
    if status is not None and (
        not isinstance(status, str)
        or not 0 < len(status) <= MAX_STATUS_CHARS
        or not status.isprintable()
    ):
        raise NotAcceptedError(
            f"status must be text of 1 to {MAX_STATUS_CHARS} characters", field="status"
        )
    fields: dict[str, Any] = {}
    for name, value in body.items():
        # null says nothing, so it must not wipe what was said before.
        if name == "device_id" or name == "status" or value is None:
            continue
        if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise _bad_name(name)
        fields[name] = _number(value) if name in ("battery", "signal_strength") else value
    if len(fields) > MAX_VALUES:
        raise NotAcceptedError(f"A status has at most {MAX_VALUES} fields, not {len(fields)}")
    if status is None and not fields:
        raise NotAcceptedError("The status says nothing: no status, no other field", field="status")
    return [Report(device, status, fields), Event(STATUS_EVENT, device, body)]


def _receive_named(
    device: Device, metric_type: str, at: int | None, body: dict[str, Any]
) -> list[Effect]:
    """Return a reading for each named value: `blood_pressure.systolic` and its neighbours."""
    unit = body.get("unit")
    if unit is not None and not _is_unit(unit):
        raise _bad_unit("unit")
    units = body.get("units")
    if units is not None and not isinstance(units, dict):
        raise NotAcceptedError("units must be an object of value name to unit", field="units")

    effects: list[Effect] = []
    skipped = _ENVELOPE
    if "samples" in body:
        block = _waveform(body)
        effects.append(Reading(device, metric_type, block, unit or "", at))
        skipped = _ENVELOPE | _WAVEFORM
    values = 0
    for name, value in body.items():
        # An object describes (place, operator, firmware); it stays in the message as sent.
        if name in skipped or value is None or isinstance(value, dict):
            continue
        values += 1
        if values > MAX_VALUES:
            raise NotAcceptedError(f"A message has at most {MAX_VALUES} values")
        full_name = f"{metric_type}.{name}"
        if not name or len(full_name) > MAX_NAME_CHARS or not name.isprintable():
            raise _bad_name(full_name)
        metric = metric_of(device.type, name)
        own_unit = units.get(name) if units is not None else None
        if own_unit is None:
            # One `unit` beside several values is meant for those that can have it: mmHg is not
            # the unit of the heart rate in the same message.
            own_unit = metric.unit
            if unit is not None and (metric is FREE or metric.measures(unit)):
                own_unit = unit
        elif not _is_unit(own_unit):
            raise _bad_unit(f"units.{name}")
        _measure(effects, device, metric, full_name, value, own_unit, at, name)
    if not effects:
        raise NotAcceptedError("The message holds no value", field="value")
    return effects


def _measure(
    effects: list[Effect],
    device: Device,
    metric: Metric,
    name: str,
    value: Value,
    unit: str,
    at: int | None,
    field: str,
) -> None:
    """Add the reading, and the alarm if it is a number out of its plausible range."""
    if metric is not FREE:
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        effects.append(Reading(device, name, value, unit, at))
        return
    if not LOWEST <= value <= HIGHEST:  # also NaN, which compares false with everything
        raise NotAcceptedError(f"{field} is not a number that can be stored", field=field)
    low, high = metric.range_in(unit)
    flagged = not low <= value <= high
    effects.append(Reading(device, name, value, unit, at, flagged))
    if flagged:
        effects.append(
            Alarm(
                device,
                OUT_OF_RANGE,
                f"{name} {value:g} {unit} is outside {low:g} to {high:g}",
                "warning",
                {"metric": name, "value": value, "unit": unit, "low": low, "high": high},
            )
        )


def _number(value: Any) -> Any:
    """Return the number that a text such as "72" means; anything else as it is.

    Meters say "HI" and "LO" where they cannot measure: that stays text.
    """
    if not isinstance(value, str) or "_" in value:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return number if LOWEST <= number <= HIGHEST else value


def _waveform(body: dict[str, Any]) -> dict[str, Any]:
    rate = _number(body.get("sample_rate"))
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= HIGHEST:
        raise NotAcceptedError(
            "sample_rate must be a number of samples a second", field="sample_rate"
        )
    samples = body["samples"]
    if not isinstance(samples, list) or not {type(sample) for sample in samples} <= {int, float}:
        raise NotAcceptedError("samples must be a list of numbers", field="samples")
    return {"sample_rate": rate, "samples": samples}


def _is_unit(unit: object) -> bool:
    return isinstance(unit, str) and len(unit) <= MAX_UNIT_CHARS and unit.isprintable()


def _check_sender(named: object, device_id: str) -> None:
    # A device whose id looks like a number may send it as one.
    if str(named) != device_id or isinstance(named, bool):
        raise NotAcceptedError(
            f"device_id in the message is not {device_id!r}, the device of the topic",
            field="device_id",
        )


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise _bad_name(name)


def _bad_name(name: object) -> NotAcceptedError:
    if name is None:
        return NotAcceptedError("metric_type is missing", field="metric_type")
    return NotAcceptedError(
        f"The name of a metric is printable text of 1 to {MAX_NAME_CHARS} characters, "
        f"not {str(name)[:40]!r}",
        field="metric_type",
    )


def _bad_unit(field: str) -> NotAcceptedError:
    return NotAcceptedError(
        f"{field} must be printable text of at most {MAX_UNIT_CHARS} characters", field=field
    )
