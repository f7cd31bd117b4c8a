"""Commands and their timelines as rows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select, true, update

from fleetwire.features.commands.states import ANSWERING, DELIVERED, OPEN, SOURCES
from fleetwire.features.commands.tables import command_events, command_terms, commands
from fleetwire.features.devices.repository import name_by_key
from fleetwire.kit.services import CommandEvent, CommandRecord
from fleetwire.store.database import Transaction

MAX_REASON_CHARS = 200
CHUNK = 500  # keys in one SELECT

_columns = (
    commands.c.id,
    name_by_key(commands.c.device),
    commands.c.name,
    commands.c.parameters,
    commands.c.state,
    commands.c.reason,
    commands.c.result,
    commands.c.attempts,
    commands.c.created_at,
    commands.c.expires_at,
    commands.c.updated_at,
)


@dataclass(frozen=True)
class Owner:
    """Whose a command is, and in which state it stands."""

    id: str
    organization_id: int
    app: str
    device: int
    name: str
    state: str


@dataclass(frozen=True)
class Step:
    """A change of state to be made. `attempts` counts deliveries, 0 = leave as it is."""

    command_id: str
    state: str
    reason: str | None
    at: int
    attempts: int = 0
    result: Any = None


def insert_command(tx: Transaction, row: dict[str, Any], terms: dict[str, Any]) -> None:
    """Store a new command, its terms and the first line of its timeline."""
    tx.execute(insert(commands).values(row))
    tx.execute(insert(command_terms).values(command_id=row["id"], **terms))
    add_line(tx, row["id"], row["state"], None, row["created_at"])


def add_line(tx: Transaction, command_id: str, state: str, reason: str | None, at: int) -> None:
    """Add a line to a command's timeline."""
    tx.execute(
        insert(command_events).values(
            command_id=command_id, state=state, reason=_cut(reason), at=at
        )
    )


def count_lines(tx: Transaction, command_id: str) -> int:
    """Return how long a command's timeline is."""
    query = select(func.count()).where(command_events.c.command_id == command_id)
    return tx.connection.scalar(query) or 0


def apply(tx: Transaction, step: Step) -> bool:
    """Make a change of state and note it; False if the command's state does not allow it."""
    changes: dict[str, Any] = {
        "state": step.state,
        "reason": _cut(step.reason),
        "updated_at": step.at,
    }
    if step.attempts:
        changes["attempts"] = step.attempts
    if step.result is not None:
        changes["result"] = step.result
    changed = tx.execute(
        update(commands)
        .where(commands.c.id == step.command_id, commands.c.state.in_(SOURCES[step.state]))
        .values(changes)
    ).rowcount
    if changed:
        add_line(tx, step.command_id, step.state, step.reason, step.at)
    return changed == 1


def find_owner(connection: Connection, command_id: str) -> Owner | None:
    """Return whose a command is."""
    row: Any = connection.execute(
        select(
            commands.c.id,
            commands.c.organization_id,
            commands.c.app,
            commands.c.device,
            commands.c.name,
            commands.c.state,
        ).where(commands.c.id == command_id)
    ).one_or_none()
    return None if row is None else Owner(*row)


def find_by_key(
    connection: Connection, device: int, idempotency_key: str
) -> tuple[CommandRecord, str | None] | None:
    """Return the command that a device was sent with this idempotency key, and its request.

    The request is None for a command of before requests were kept.
    """
    found = _records(
        connection,
        select(*_columns).where(
            commands.c.device == device, commands.c.idempotency_key == idempotency_key
        ),
    )
    if not found:
        return None
    request = select(command_terms.c.request).where(command_terms.c.command_id == found[0].id)
    return found[0], connection.scalar(request)


def find_record(connection: Connection, command_id: str) -> CommandRecord | None:
    """Return a command with its timeline."""
    found = _records(connection, select(*_columns).where(commands.c.id == command_id))
    return found[0] if found else None


def list_records(
    connection: Connection,
    device: int,
    before_at: int | None,
    limit: int,
    states: Collection[str] = (),
) -> list[CommandRecord]:
    """Return a device's commands that were created before an instant, newest first."""
    query = select(*_columns).where(commands.c.device == device)
    if states:
        query = query.where(commands.c.state.in_(states))
    if before_at is not None:
        query = query.where(commands.c.created_at < before_at)
    return _records(connection, query.order_by(commands.c.created_at.desc()).limit(limit))


def list_of_batch(
    connection: Connection, batch_id: str, after_at: int, limit: int, states: Collection[str]
) -> list[CommandRecord]:
    """Return a batch's commands that were created after an instant, oldest first."""
    query = (
        select(*_columns)
        .join(command_terms, command_terms.c.command_id == commands.c.id)
        .where(command_terms.c.batch_id == batch_id, commands.c.created_at > after_at)
    )
    if states:
        query = query.where(commands.c.state.in_(states))
    return _records(connection, query.order_by(commands.c.created_at).limit(limit))


def payloads(connection: Connection, command_ids: Collection[str]) -> dict[str, bytes]:
    """Return the payloads of these commands."""
    rows = connection.execute(
        select(commands.c.id, commands.c.payload).where(commands.c.id.in_(command_ids))
    )
    return {row.id: row.payload for row in rows}


def unfinished(connection: Connection, answering_apps: Iterable[str]) -> Sequence[Any]:
    """Return every command that something can still become of, in order of creation."""
    return connection.execute(
        select(
            commands.c.id,
            commands.c.app,
            commands.c.device,
            commands.c.name,
            commands.c.state,
            commands.c.attempts,
            commands.c.created_at,
            commands.c.expires_at,
            command_terms.c.lane,
            func.coalesce(command_terms.c.may_repeat, true()).label("may_repeat"),
        )
        .outerjoin(command_terms, command_terms.c.command_id == commands.c.id)
        .where(
            or_(
                commands.c.state.in_(OPEN | (ANSWERING - {DELIVERED})),
                and_(commands.c.state == DELIVERED, commands.c.app.in_(list(answering_apps))),
            )
        )
        .order_by(commands.c.created_at)
    ).all()


def _records(connection: Connection, query: Select[Any]) -> list[CommandRecord]:
    found: dict[str, CommandRecord] = {}
    for row in connection.execute(query):
        values: list[Any] = [*row, []]
        found[row.id] = CommandRecord(*values)
    ids = list(found)
    for start in range(0, len(ids), CHUNK):
        lines = connection.execute(
            select(
                command_events.c.command_id,
                command_events.c.state,
                command_events.c.reason,
                command_events.c.at,
            )
            .where(command_events.c.command_id.in_(ids[start : start + CHUNK]))
            .order_by(command_events.c.id)
        )
        for line in lines:
            found[line.command_id].timeline.append(CommandEvent(line.state, line.reason, line.at))
    return list(found.values())


def _cut(reason: str | None) -> str | None:
    return None if reason is None else reason[:MAX_REASON_CHARS]
