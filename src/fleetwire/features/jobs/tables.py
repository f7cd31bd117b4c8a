"""The table of jobs."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

jobs = Table(
    "jobs",
    metadata,
    Column("key", BigKey, primary_key=True),  # in the order of beginning
    Column("id", String(32), nullable=False, unique=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("kind", String(64), nullable=False),  # device.import, quarantine.rerun
    Column("state", String(16), nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("counts", JSON, nullable=False),
    Column("error", String(500)),
    # The permissions to see it and to stop it.
    Column("read_permission", String(64), nullable=False),
    Column("write_permission", String(64), nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_jobs_organization_id_key", "organization_id", "key"),
    Index("ix_jobs_state_updated_at", "state", "updated_at"),
)
