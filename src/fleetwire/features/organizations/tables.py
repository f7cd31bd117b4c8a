"""The tables of organisations and their members."""

from sqlalchemy import Column, ForeignKey, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

organizations = Table(
    "organizations",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("organization_id", BigKey, ForeignKey("organizations.id"), primary_key=True),
    Column("account_id", BigKey, ForeignKey("accounts.id"), primary_key=True, index=True),
    Column("role", String(32), nullable=False),  # owner | administrator | operator | viewer
    Column("created_at", Instant, nullable=False),
)
