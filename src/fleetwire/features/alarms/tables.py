"""The table of alarms."""

from sqlalchemy import JSON, Column, Index, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

alarms = Table(
    "alarms",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("app", String(64), nullable=False),
    Column("device", BigKey, nullable=False),
    Column("name", String(64), nullable=False),  # out_of_range, …
    Column("severity", String(16), nullable=False),  # info | warning | critical
    Column("message", String(500), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Index("ix_alarms_device_raised_at", "device", "raised_at"),
)
