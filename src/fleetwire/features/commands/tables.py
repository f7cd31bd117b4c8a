"""The tables of commands: the record, and the timeline of its states."""

from sqlalchemy import (
    JSON,
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
    # queued | sent | delivered | succeeded | failed | expired | cancelled
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
