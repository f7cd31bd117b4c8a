"""What the machines' messages mean."""

from typing import Any, Final

from sqlalchemy import Row, select, update

from fleetwire.apps.vending import attempts, machines, stock, telemetry
from fleetwire.apps.vending.attempts import MAX_MESSAGE
from fleetwire.apps.vending.tables import slots
from fleetwire.kit import (
    Alarm,
    Device,
    Effect,
    Event,
    Incoming,
    NotAcceptedError,
    NotFoundError,
    Reading,
    Report,
    Transaction,
)

TELEMETRY_EVENT: Final = "machine.telemetry"
MAX_ORDER_ID: Final = 40
MAX_DURATION_MS: Final = 3_600_000


def receive_result(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Take a `dispense_result`. Raises NotAcceptedError naming the field at fault."""
    outcome = _outcome(body)
    machine = machines.ensure(tx, device, message.received_at)
    _spoken(tx, machine, message)
    try:
        return attempts.take(tx, device, outcome, by="machine", now=message.received_at)
    except NotFoundError as error:
        raise NotAcceptedError(error.message, field=error.field) from None


def receive_telemetry(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Take a `telemetry`: rows, slot levels, and readings for the platform's own views."""
    said = telemetry.read(body, message.received_at)
    machine = machines.ensure(tx, device, message.received_at)
    telemetry.store(tx, machine.id, said, message.received_at)
    _note(tx, machine, said, message)
    effects: list[Effect] = []
    for name, value, unit in (
        ("temperature", said.temperature, "Cel"),
        ("humidity", said.humidity, "%"),
        ("rssi", said.rssi, "dB[mW]"),
    ):
        if value is not None:
            effects.append(Reading(device, name, value, unit, said.at))
    effects += _take_levels(tx, machine, device, said, message.received_at)
    effects.append(Event(TELEMETRY_EVENT, device, {"machine_id": machine.id, **said.data}))
    return effects


def receive_status(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Take a `status`. That a machine is offline is believed of itself only.

    The phone app leaves a Will that says so of a machine that is well. Who is the machine is told
    by its name as client id, or by having spoken for it before. From anybody else a bare `offline`
    is refused, and any while the machine is connected.
    """
    status = body.get("status")
    if status is not None:
        status = str(status).upper()
        if status not in machines.STATUSES:
            raise NotAcceptedError(
                f"status must be one of {', '.join(machines.STATUSES)}", field="status"
            )
    said = telemetry.read(body, message.received_at)
    machine = machines.ensure(tx, device, message.received_at)
    if status != machines.OFFLINE:
        _spoken(tx, machine, message)
    elif not _is_machine(machine, message) and (machine.connected or len(body) == 1):
        raise NotAcceptedError(
            "Another client says that the machine is offline; its own connection decides that",
            field="status",
        )
    _note(tx, machine, said, message)
    effects: list[Effect] = []
    if status is not None:
        effects += machines.set_status(
            tx, machine, device, status, "the machine says so", message.received_at
        )
    fields = {name: body[name] for name in ("door", "rssi", "fw") if body.get(name) is not None}
    return [Report(device, None if status is None else status.lower(), fields), *effects]


def _outcome(body: dict[str, Any]) -> attempts.Outcome:
    order_id = body.get("orderId")
    if not isinstance(order_id, str) or not 0 < len(order_id) <= MAX_ORDER_ID:
        raise NotAcceptedError("orderId must be the order's id", field="orderId")
    success = _truth(body, "success")
    if success is None:
        raise NotAcceptedError("success is missing", field="success")
    error = body.get("error")
    return attempts.Outcome(
        order_id=order_id,
        success=success,
        drop_detected=_truth(body, "dropDetected"),
        slot_number=_whole(body, "slot", 0, 10_000),
        item_index=_whole(body, "itemIndex", 1, 100),
        attempt=_whole(body, "attempt", 1, 1000),
        duration_ms=_whole(body, "durationMs", 0, MAX_DURATION_MS),
        dropped=_whole(body, "dropped", 0, 1000),
        error=None if error is None or error == "" else str(error)[:MAX_MESSAGE],
    )


def _truth(body: dict[str, Any], field: str) -> bool | None:
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if known is None:
        raise NotAcceptedError(f"{field} must be true or false", field=field)
    return known


def _whole(body: dict[str, Any], field: str, low: int, high: int) -> int | None:
    found = telemetry.number(body, field, low, high)
    return None if found is None else round(found)


def _is_machine(machine: Row[Any], message: Incoming) -> bool:
    return message.client_id in (machine.id, machine.spoken_by)


def _spoken(tx: Transaction, machine: Row[Any], message: Incoming) -> None:
    if machine.spoken_by != message.client_id:
        machines.note(tx, machine, message.received_at, spoken_by=message.client_id[:256])


def _note(tx: Transaction, machine: Row[Any], said: telemetry.Said, message: Incoming) -> None:
    reported = None
    if said.config:
        reported = {**machine.reported_config, **said.config}
    machines.note(
        tx,
        machine,
        message.received_at,
        last_seen_at=message.received_at,
        door=said.door,
        rssi=said.rssi,
        fw=said.fw,
        temperature=said.temperature,
        humidity=said.humidity,
        reported_config=reported,
    )


def _take_levels(
    tx: Transaction, machine: Row[Any], device: Device, said: telemetry.Said, now: int
) -> list[Effect]:
    """Keep the levels beside the count; a new one that contradicts it is an alarm."""
    alarms: list[Effect] = []
    for slot_number, level in said.levels:
        slot = tx.execute(
            select(slots).where(
                slots.c.machine_id == machine.id, slots.c.slot_number == slot_number
            )
        ).one_or_none()
        if slot is None:
            continue  # the message as sent is kept; a slot that nobody set up sells nothing
        tx.execute(update(slots).where(slots.c.id == slot.id).values(level=level, level_at=said.at))
        if machine.stock_source == "level":
            stock.set_by_level(tx, slot, level, now)
        elif level != slot.level and stock.contradicts(level, slot.current_stock, slot.capacity):
            detail = {"slot_number": slot_number, "level": level, "counted": slot.current_stock}
            what = f"Slot {slot_number}: the machine says {level}, counted are {slot.current_stock}"
            alarms.append(Alarm(device, "stock_mismatch", what, detail=detail))
    return alarms
