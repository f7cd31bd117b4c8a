"""Batches of commands as rows, and how far their commands have come."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from fleetwire.features.commands.tables import command_batches, command_terms, commands
from fleetwire.kit.services import CommandBatch
from fleetwire.store.database import Transaction


@dataclass(frozen=True)
class Work:
    """What a batch still has to send."""

    id: str
    app: str
    name: str
    parameters: dict[str, Any]
    terms: dict[str, Any]
    devices: list[int]
    requested_by: str


def insert_batch(tx: Transaction, row: dict[str, Any]) -> None:
    """Store a new batch."""
    tx.execute(insert(command_batches).values(row))


def find_by_key(
    connection: Connection, organization_id: int, idempotency_key: str
) -> tuple[str, str] | None:
    """Return (id, request) of the organisation's batch with this idempotency key."""
    row = connection.execute(
        select(command_batches.c.id, command_batches.c.request).where(
            command_batches.c.organization_id == organization_id,
            command_batches.c.idempotency_key == idempotency_key,
        )
    ).one_or_none()
    return None if row is None else (row.id, row.request)


def find_batch(connection: Connection, batch_id: str, organization_id: int) -> CommandBatch | None:
    """Return an organisation's batch with its commands counted by state."""
    row = connection.execute(
        select(command_batches).where(
            command_batches.c.id == batch_id, command_batches.c.organization_id == organization_id
        )
    ).one_or_none()
    if row is None:
        return None
    counted = connection.execute(
        select(commands.c.state, func.count())
        .join(command_terms, command_terms.c.command_id == commands.c.id)
        .where(command_terms.c.batch_id == batch_id)
        .group_by(commands.c.state)
        .order_by(commands.c.state)
    )
    states: dict[str, int] = {row[0]: row[1] for row in counted}
    return CommandBatch(
        id=row.id,
        app=row.app,
        name=row.name,
        parameters=row.parameters,
        total=len(row.devices),
        states=states,
        waiting=max(0, len(row.devices) - sum(states.values()) - row.refused_count),
        refused_count=row.refused_count,
        refused=[(device_id, reason) for device_id, reason in row.refused],
        created_at=row.created_at,
        spread_at=row.spread_at,
        group=row.terms.get("group"),
        query=row.terms.get("query"),
    )


def unspread(connection: Connection) -> list[Work]:
    """Return the batches whose devices do not all have their command, oldest first."""
    rows: Any = connection.execute(
        select(
            command_batches.c.id,
            command_batches.c.app,
            command_batches.c.name,
            command_batches.c.parameters,
            command_batches.c.terms,
            command_batches.c.devices,
            command_batches.c.requested_by,
        )
        .where(command_batches.c.spread_at.is_(None))
        .order_by(command_batches.c.created_at)
    )
    return [Work(*row) for row in rows]


def spread(
    tx: Transaction, batch_id: str, refused: list[tuple[str, str]], count: int, at: int
) -> None:
    """Note that every device of a batch has its command, or was refused one."""
    tx.execute(
        update(command_batches)
        .where(command_batches.c.id == batch_id)
        .values(refused=refused, refused_count=count, spread_at=at)
    )
