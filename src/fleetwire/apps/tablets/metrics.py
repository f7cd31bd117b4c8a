"""The metrics message: processor, memory, storage, what is in front."""

from typing import Any

from sqlalchemy import Connection, insert, select

from fleetwire.apps.tablets import fields
from fleetwire.apps.tablets.fields import Body
from fleetwire.apps.tablets.presence import hear
from fleetwire.apps.tablets.rows import keep_newest, row_of
from fleetwire.apps.tablets.tables import metrics
from fleetwire.kit import Device, Effect, Event, Incoming, NotAcceptedError, Reading, Transaction
from fleetwire.kit.instants import iso

METRICS_EVENT = "device.metrics"
KEPT = 10_080  # of each tablet: one a minute for seven days
MAX_NETWORK_CHARS = 64
MAX_APP_CHARS = 256

_add = insert(metrics)


def receive_metrics(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Return readings and the push `device_metrics`.

    Raises NotAcceptedError naming the field at fault.
    """
    at = fields.instant(body, "timestamp", message.received_at)
    said = said_in(body)
    if all(value is None for value in said.values()):
        raise NotAcceptedError("The metrics hold no value", field="cpu")
    row = row_of(tx, device, message.received_at)
    effects = hear(tx, device, row, message.received_at)
    added = tx.execute(
        _add, said | {"tablet": device.id, "at": at, "received_at": message.received_at}
    )
    id = added.inserted_primary_key[0]  # type: ignore[index]  # an insert has one
    keep_newest(tx, metrics, device.id, KEPT, id)
    effects.append(Event(METRICS_EVENT, device, _shown(said, at, big=int)))
    for name, unit, column in (
        ("cpu", "%", "cpu"),
        ("memory.used", "By", "memory_used"),
        ("storage.used", "By", "storage_used"),
    ):
        if said[column] is not None:
            effects.append(Reading(device, name, said[column], unit, at))
    return effects


def said_in(body: Body) -> dict[str, Any]:
    """Return the columns of a metrics message, None for what it does not say."""
    said: dict[str, Any] = {"cpu": fields.number(body, "cpu", 0, 100_000)}
    for kind in ("memory", "storage"):
        inside = fields.part(body, kind)
        for name in ("total", "used", "available"):
            said[f"{kind}_{name}"] = fields.whole(inside, name, path=f"{kind}.")
    said["network_type"] = fields.text(body, "networkType", MAX_NETWORK_CHARS)
    said["foreground_app"] = fields.text(body, "foregroundApp", MAX_APP_CHARS)
    return said


def latest(connection: Connection, tablet: int, limit: int) -> list[dict[str, Any]]:
    """Return the newest metrics, newest first; 64-bit numbers as text."""
    wanted = (
        select(metrics).where(metrics.c.tablet == tablet).order_by(metrics.c.id.desc()).limit(limit)
    )
    return [
        {"id": str(each.id), **_shown(each._asdict(), each.at, big=str)}
        for each in connection.execute(wanted)
    ]


def _shown(said: dict[str, Any], at: int, big: type[int] | type[str]) -> dict[str, Any]:
    def sizes(kind: str) -> dict[str, int | str | None]:
        values = {name: said[f"{kind}_{name}"] for name in ("total", "used", "available")}
        return {name: None if value is None else big(value) for name, value in values.items()}

    return {
        "cpu": said["cpu"],
        "memory": sizes("memory"),
        "storage": sizes("storage"),
        "networkType": said["network_type"],
        "foregroundApp": said["foreground_app"],
        "timestamp": iso(at),
    }
