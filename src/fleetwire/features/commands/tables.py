"""The tables of commands: the record, and the timeline of its states."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.store.metadata import BigKey, Instant, metadata

commands = Table(
    "commands",
    metadata,
    Column("id", String(32), primary_key=True),  # 128 random bits, hexadecimal
    Column("organization_id", BigKey, nullable=False),
    Column("app", String(64), nullable=False),
    Column("device", BigKey, nullable=False),
    Column("name", String(128), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("payload", LargeBinary, nullable=False),  # the bytes the device reads, on every attempt
    # One of states.ALL.
    Column("state", String(16), nullable=False),
    Column("reason", String(200)),
    Column("result", JSON),
    Column("attempts", Integer, nullable=False),
    Column("idempotency_key", String(128)),
    Column("requested_by", String(128), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("device", "idempotency_key"),
    Index("ix_commands_device_created_at", "device", "created_at"),
    Index("ix_commands_state_expires_at", "state", "expires_at"),
)

command_events = Table(
    "command_events",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("command_id", String(32), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(200)),
    Column("at", Instant, nullable=False),
)

# What was asked of a command beyond its deadline; those of before have no row.
command_terms = Table(
    "command_terms",
    metadata,
    Column("command_id", String(32), primary_key=True),
    Column("lane", String(64)),  # NULL = it waits for nobody
    Column("may_repeat", Boolean, nullable=False),
    Column("request", String(64), nullable=False),  # SHA-256 of what the idempotency key stands for
    Column("batch_id", String(32), index=True),
)

command_batches = Table(
    "command_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("app", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("terms", JSON, nullable=False),  # expires_at, lane, supersede, may_repeat
    Column("devices", JSON, nullable=False),  # keys, in order
    Column("refused", JSON, nullable=False),  # [device_id, reason], the first of them
    Column("refused_count", Integer, nullable=False),
    Column("idempotency_key", String(128)),
    Column("request", String(64), nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("spread_at", Instant),  # when every device had its command; NULL = not yet
    UniqueConstraint("organization_id", "idempotency_key"),
    Index("ix_command_batches_spread_at", "spread_at"),
)
