"""Chains, their runs and their position as rows."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Text, cast, delete, func, insert, select, update

from fleetwire.features.rules.tables import (
    rule_chains,
    rule_executions,
    rule_outbox,
    rule_position,
)
from fleetwire.kit.rules import NodeOutcome, RuleChain, RuleDraft, RuleExecution
from fleetwire.kit.transaction import Transaction


class StoredChain(msgspec.Struct):
    """A chain with what only the house knows of it."""

    key: int
    organization_id: int
    chain: RuleChain
    since: int
    scheduled_at: int | None


# --- chains ---


def all_chains(connection: Connection) -> list[StoredChain]:
    """Return every chain of every organisation that is enabled."""
    query = select(rule_chains).where(rule_chains.c.enabled).order_by(rule_chains.c.key)
    return [_stored(row) for row in connection.execute(query)]


def find_chain(
    connection: Connection, organization_id: int, app: str, chain_id: str
) -> StoredChain | None:
    """Return an organisation's chain."""
    row = connection.execute(
        select(rule_chains).where(
            rule_chains.c.organization_id == organization_id,
            rule_chains.c.app == app,
            rule_chains.c.id == chain_id,
        )
    ).one_or_none()
    return None if row is None else _stored(row)


def list_chains(
    connection: Connection,
    organization_id: int,
    *,
    app: str | None,
    search: str | None,
    after: int,
    limit: int,
) -> list[StoredChain]:
    """Return an organisation's chains in the order they were made."""
    query = select(rule_chains).where(
        rule_chains.c.organization_id == organization_id, rule_chains.c.key > after
    )
    if app is not None:
        query = query.where(rule_chains.c.app == app)
    if search:
        query = query.where(
            func.lower(rule_chains.c.name).contains(search.lower(), autoescape=True)
        )
    rows = connection.execute(query.order_by(rule_chains.c.key).limit(limit))
    return [_stored(row) for row in rows]


def count_chains(connection: Connection, organization_id: int) -> int:
    """Return how many chains an organisation has."""
    query = select(func.count()).where(rule_chains.c.organization_id == organization_id)
    return connection.scalar(query) or 0


def bytes_of_chains(connection: Connection, organization_id: int) -> int:
    """Return how much an organisation's chains say, as JSON."""
    length = func.length(cast(rule_chains.c.draft, Text))
    query = select(func.sum(length)).where(rule_chains.c.organization_id == organization_id)
    return connection.scalar(query) or 0


def insert_chain(
    tx: Transaction, organization_id: int, app: str, chain_id: str, draft: RuleDraft,
    since: int, at: int,
) -> StoredChain:  # fmt: skip
    """Store a chain. Raises IntegrityError if its id is taken."""
    row = _draft_row(draft) | {
        "organization_id": organization_id,
        "app": app,
        "id": chain_id,
        "since": since,
        "scheduled_at": at,
        "created_at": at,
        "updated_at": at,
    }
    inserted: Any = tx.execute(insert(rule_chains).values(row)).inserted_primary_key
    chain = RuleChain(app, chain_id, draft, at, at)
    return StoredChain(int(inserted[0]), organization_id, chain, since, at)


def update_chain(tx: Transaction, stored: StoredChain) -> None:
    """Store what a chain says from now on."""
    row = _draft_row(stored.chain.draft) | {
        "since": stored.since,
        "scheduled_at": stored.scheduled_at,
        "updated_at": stored.chain.updated_at,
    }
    tx.execute(update(rule_chains).where(rule_chains.c.key == stored.key).values(row))


def delete_chain(tx: Transaction, key: int) -> None:
    """Remove a chain, its runs, and what it still wanted to send."""
    tx.execute(delete(rule_executions).where(rule_executions.c.chain == key))
    tx.execute(delete(rule_outbox).where(rule_outbox.c.chain == key))
    tx.execute(delete(rule_chains).where(rule_chains.c.key == key))


def still_there(connection: Connection, keys: Collection[int]) -> set[int]:
    """Return those of these chains that nobody has removed."""
    query = select(rule_chains.c.key).where(rule_chains.c.key.in_(keys))
    return set(connection.scalars(query))


def schedule_kept(tx: Transaction, key: int, at: int) -> None:
    """Note up to when a schedule has been kept."""
    tx.execute(update(rule_chains).where(rule_chains.c.key == key).values(scheduled_at=at))


# --- how far ---


def position(connection: Connection) -> int:
    """Return the cursor up to which readings have woken what they wake."""
    return connection.scalar(select(rule_position.c.cursor)) or 0


def move(tx: Transaction, cursor: int) -> None:
    """Note how far readings have been dealt with."""
    if not tx.execute(update(rule_position).values(cursor=cursor)).rowcount:
        tx.execute(insert(rule_position).values(id=1, cursor=cursor))


# --- runs ---


def insert_executions(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    """Store how chains ran."""
    tx.execute(insert(rule_executions), rows)


def find_execution(
    connection: Connection, chain: int, chain_id: str, trigger: str
) -> RuleExecution | None:
    """Return the run that a trigger led to."""
    row = connection.execute(
        select(rule_executions).where(
            rule_executions.c.chain == chain, rule_executions.c.trigger == trigger
        )
    ).one_or_none()
    return None if row is None else _execution(row, chain_id)


def places_of(
    connection: Connection, chains: Collection[int], triggers: Collection[str]
) -> set[tuple[int, str]]:
    """Return (chain, trigger) of the runs that are stored, of these."""
    query = select(rule_executions.c.chain, rule_executions.c.trigger).where(
        rule_executions.c.chain.in_(chains), rule_executions.c.trigger.in_(triggers)
    )
    return {(row.chain, row.trigger) for row in connection.execute(query)}


def list_executions(
    connection: Connection,
    organization_id: int,
    app: str,
    *,
    chain: int | None,
    outcome: str | None,
    before: int | None,
    limit: int,
) -> list[RuleExecution]:
    """Return runs, newest first."""
    query = select(rule_executions, rule_chains.c.id.label("chain_id")).join(
        rule_chains, rule_chains.c.key == rule_executions.c.chain
    )
    query = query.where(
        rule_executions.c.organization_id == organization_id, rule_chains.c.app == app
    )
    if chain is not None:
        query = query.where(rule_executions.c.chain == chain)
    if outcome is not None:
        query = query.where(rule_executions.c.outcome == outcome)
    if before is not None:
        query = query.where(rule_executions.c.key < before)
    rows = connection.execute(query.order_by(rule_executions.c.key.desc()).limit(limit))
    return [_execution(row, row.chain_id) for row in rows]


def note_sent(
    tx: Transaction, chain: int, trigger: str, node: str, outcome: str, error: str | None
) -> None:
    """Note in the run's log what became of what it sent."""
    mine = (rule_executions.c.chain == chain, rule_executions.c.trigger == trigger)
    nodes = tx.connection.scalar(select(rule_executions.c.nodes).where(*mine))
    if nodes is None:
        return
    for each in nodes:
        if each["node"] == node:
            each["outcome"], each["error"] = outcome, error
    tx.execute(update(rule_executions).where(*mine).values(nodes=nodes))


def prune(tx: Transaction, chain: int, kept: int, kept_stopped: int, before_at: int) -> None:
    """Forget a chain's oldest runs beyond so many of each sort, and all that are older."""
    mine = rule_executions.c.chain == chain
    did_nothing = rule_executions.c.outcome == "stopped"
    for sort, most in ((did_nothing, kept_stopped), (~did_nothing, kept)):
        newest = select(rule_executions.c.key).where(mine, sort)
        oldest = newest.order_by(rule_executions.c.key.desc()).offset(most).limit(1)
        last = tx.connection.scalar(oldest)
        if last is not None:
            tx.execute(delete(rule_executions).where(mine, sort, rule_executions.c.key <= last))
    tx.execute(delete(rule_executions).where(mine, rule_executions.c.started_at < before_at))


def _draft_row(draft: RuleDraft) -> dict[str, Any]:
    return {"name": draft.name, "draft": msgspec.to_builtins(draft), "enabled": draft.enabled}


def _stored(row: Any) -> StoredChain:
    draft = msgspec.convert(row.draft, RuleDraft)
    chain = RuleChain(row.app, row.id, draft, row.created_at, row.updated_at)
    return StoredChain(row.key, row.organization_id, chain, row.since, row.scheduled_at)


def _execution(row: Any, chain_id: str) -> RuleExecution:
    return RuleExecution(
        id=row.key,
        chain_id=chain_id,
        trigger=row.trigger,
        kind=row.kind,
        outcome=row.outcome,
        started_at=row.started_at,
        nodes=msgspec.convert(row.nodes, list[NodeOutcome]),
        aborted_reason=row.aborted_reason,
        error=row.error,
        repeats=row.repeats,
    )
