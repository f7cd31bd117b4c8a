"""States: what a device is set to. A new value of a state is the farm's command.

The value, the command that takes it to the device and the event that tells of it are one
transaction. The device reads it on `devices/{uuid}/state`, QoS 1; delivered is its PUBACK.
"""

import json
import secrets
from hashlib import blake2b
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.said import number_of
from fleetwire.apps.farm.tables import device_states, devices, state_instances
from fleetwire.kit import Device, Event, Reading, Result, SendCommand, Transaction
from fleetwire.kit.instants import iso

STATE_EVENT: Final = "farm.state"
COMMAND: Final = "state"
HIGH: Final = "high"
NORMAL: Final = "normal"
ALARMING: Final = ("error", "fault", "alarm", "emergency", "critical")
LARGE_CHANGE: Final = 0.5  # of the old value
MOST_VALUE: Final = 256

Initiator = Literal["user", "device", "system", "rule"]
TRUTHS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_PAIRS: Final = ({"true", "false"}, {"on", "off"}, {"1", "0"})


def text_of(value: str | float | bool | None) -> str | None:
    """Return a value as the wire has values of states: as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def check_value(state: Row[Any], value: str, field: str = "value") -> None:
    """Raise RefusedError unless a state can have this value."""
    if len(value) > MOST_VALUE or not value.isprintable():
        raise RefusedError(
            f"{field} must be printable text of up to {MOST_VALUE} characters", field=field
        )
    if state.data_type in ("number", "integer", "percentage"):
        number = number_of(value)
        if number is None or (state.data_type == "integer" and number != int(number)):
            raise RefusedError(f"{state.state_name} takes numbers, not {value!r}", field=field)
        if state.data_type == "percentage" and not 0 <= number <= 100:
            raise RefusedError(f"{state.state_name} takes 0 to 100, not {value!r}", field=field)
    if state.data_type == "boolean" and value.lower() not in TRUTHS:
        raise RefusedError(f"{state.state_name} takes true or false, not {value!r}", field=field)
    allowed = json.loads(state.allowed_values) if state.allowed_values else []
    if allowed and value not in (text_of(each) for each in allowed):
        said = ", ".join(str(each) for each in allowed)
        raise RefusedError(f"{state.state_name} takes {said}, not {value!r}", field=field)


def find_state(connection: Connection, device_id: int, name: str) -> Row[Any]:
    """Return a device's state by its name. Raises RefusedError."""
    row = connection.execute(
        select(device_states).where(
            device_states.c.device_id == device_id, device_states.c.state_name == name
        )
    ).one_or_none()
    if row is None:
        raise RefusedError(f"The device has no state {name[:64]!r}", field="stateName")
    return row


def current(connection: Connection, state_id: int) -> Row[Any] | None:
    """Return the newest value of a state."""
    return connection.execute(
        select(state_instances)
        .where(state_instances.c.device_state_id == state_id)
        .order_by(state_instances.c.id.desc())
        .limit(1)
    ).one_or_none()


def set_state(
    tx: Transaction,
    device: Device,
    state_name: str,
    value: str,
    *,
    initiated_by: Initiator,
    initiator: str,
    now: int,
    expires_in_s: float,
    urgent: bool = False,
    key: str = "",
) -> Result[dict[str, Any]]:
    """Give a state another value and send it to the device; return the row as the wire has it.

    With a `key` it is done once, however often it is asked for. Raises NotFoundError, RefusedError
    naming the field.
    """
    row = rows.find_uuid(tx.connection, device.organization_id, devices, device.device_id)
    state = find_state(tx.connection, row.id, state_name)
    check_value(state, value)
    last = current(tx.connection, state.id)
    if key and last is not None and last.command_id == _id_of(device, key):
        return Result(rows.shown(last))
    old = state.default_value if last is None else last.value
    if last is not None:
        rows.change(tx, state_instances, last.id, to_at=now)
    command_id = _id_of(device, key) if key else secrets.token_hex(16)
    made = rows.add(
        tx,
        state_instances,
        tenant_id=device.organization_id,
        device_state_id=state.id,
        value=value,
        from_at=now,
        initiated_by=initiated_by,
        initiator_id=initiator,
        command_id=command_id,
    )
    priority = HIGH if urgent else priority_of(row.is_critical, state_name, old, value)
    told = _told(row, state_name, old, value, initiated_by, initiator, priority, now)
    send = SendCommand(
        device,
        COMMAND,
        {"stateName": state_name, "value": value},
        expires_in_s=expires_in_s,
        lane=f"state/{state.id}",
        payload=json.dumps(_message(row, told)).encode(),
        requested_by=initiator,
        id=command_id,
    )
    shown = {**rows.shown(made), "deviceUuid": row.uuid, "stateName": state_name, "oldValue": old}
    # What an actuator is set to wakes rules, as what a sensor measures does.
    number = number_of(value)
    reading = Reading(device, state_name, value if number is None else number)
    return Result(shown, [reading, send, Event(STATE_EVENT, device, told)])


def _id_of(device: Device, key: str) -> str:
    return blake2b(f"{device.id}/{key}".encode(), digest_size=16).hexdigest()


def shown_state(connection: Connection, device: Device) -> dict[str, Any] | None:
    """Return the newest change of a device's states, as the device reads it; None = there is none.

    For devices that ask by CoAP.
    """
    found = connection.execute(
        select(state_instances, device_states.c.state_name)
        .join(device_states, device_states.c.id == state_instances.c.device_state_id)
        .join(devices, devices.c.id == device_states.c.device_id)
        .where(devices.c.uuid == device.device_id, devices.c.tenant_id == device.organization_id)
        .order_by(state_instances.c.id.desc())
        .limit(1)
    ).one_or_none()
    if found is None:
        return None
    return {
        "type": "device_state_change",
        "deviceUuid": device.device_id,
        "stateName": found.state_name,
        "newValue": found.value,
        "initiatedBy": found.initiated_by,
        "timestamp": iso(found.from_at),
    }


def priority_of(is_critical: bool, state_name: str, old: str | None, new: str | None) -> str:
    """Return "high" for a change that a person should see now, else "normal"."""
    name = state_name.lower()
    if is_critical or any(word in name for word in ALARMING) or (old is None) != (new is None):
        return HIGH
    if old is None or new is None:
        return NORMAL
    pair = {old.lower(), new.lower()}
    if pair in _PAIRS:
        return HIGH
    before, after = number_of(old), number_of(new)
    if before is None or after is None:
        return NORMAL
    return HIGH if abs(after - before) > LARGE_CHANGE * abs(before) else NORMAL


def _told(
    row: Row[Any],
    state_name: str,
    old: str | None,
    new: str,
    initiated_by: str,
    initiator: str,
    priority: str,
    now: int,
) -> dict[str, Any]:
    """Return a change as dashboards are told it: `device-state-change`."""
    return {
        "title": f"{row.name}: {state_name}",
        "message": f"{state_name} of {row.name} changed from {old} to {new}",
        "type": "device_state_change",
        "deviceType": row.device_type,
        "deviceId": row.id,
        "deviceUuid": row.uuid,
        "priority": priority,
        "timestamp": iso(now),
        "metadata": {
            "deviceId": row.id,
            "deviceUuid": row.uuid,
            "deviceName": row.name,
            "deviceType": row.device_type,
            "isCritical": row.is_critical,
            "stateName": state_name,
            "oldValue": old,
            "newValue": new,
            "initiatedBy": initiated_by,
            "initiatorId": initiator,
        },
    }


def _message(row: Row[Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return a change as the device reads it on `devices/{uuid}/state`."""
    beside = told["metadata"]
    return {
        "type": "device_state_change",
        "deviceUuid": row.uuid,
        "deviceName": row.name,
        "deviceType": row.device_type,
        "stateName": beside["stateName"],
        "oldValue": beside["oldValue"],
        "newValue": beside["newValue"],
        "initiatedBy": beside["initiatedBy"],
        "timestamp": told["timestamp"],
        "priority": told["priority"],
        "metadata": {
            "deviceId": row.id,
            "isCritical": row.is_critical,
            "initiatorId": beside["initiatorId"],
        },
    }
