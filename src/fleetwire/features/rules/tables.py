"""The tables of rule chains: what they say, how far they have read, how they ran, what waits."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.store.metadata import BigKey, Instant, metadata

rule_chains = Table(
    "rule_chains",
    metadata,
    Column("key", BigKey, primary_key=True),  # in the order of making
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("app", String(64), nullable=False),
    Column("id", String(64), nullable=False),  # the app's own
    Column("name", String(200), nullable=False),
    Column("draft", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),  # readings with a greater cursor wake it
    Column("scheduled_at", Instant),  # up to when its schedule has been kept
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "app", "id"),
)

rule_executions = Table(
    "rule_executions",
    metadata,
    Column("key", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("chain", BigKey, nullable=False),
    Column("trigger", String(200), nullable=False),
    Column("kind", String(16), nullable=False),  # telemetry | schedule | manual
    Column("outcome", String(16), nullable=False),
    Column("aborted_reason", String(32)),
    Column("error", String(500)),
    Column("nodes", JSON, nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    UniqueConstraint("chain", "trigger"),  # of one trigger a chain has one run
    Index("ix_rule_executions_chain_key", "chain", "key"),
)

# One row: readings up to this cursor have woken what they wake. It is written in the transaction of
# the last run that did something, so that after a kill nothing is done twice and nothing left out.
rule_position = Table(
    "rule_position",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("cursor", BigInteger, nullable=False),
)

rule_outbox = Table(
    "rule_outbox",
    metadata,
    Column("key", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("chain", BigKey, nullable=False),
    Column("trigger", String(200), nullable=False),
    Column("node", String(128), nullable=False),
    Column("kind", String(16), nullable=False),  # WEBHOOK | PUBLISH
    Column("said", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_rule_outbox_due_at", "due_at"),
)
