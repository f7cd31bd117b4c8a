"""The table of messages that no handler accepted."""

from sqlalchemy import Column, Index, LargeBinary, SmallInteger, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey),  # NULL: the sender belongs to nobody we know
    Column("app", String(64)),
    Column("topic", String(1024), nullable=False),
    Column("payload", LargeBinary, nullable=False),  # bounded; see payload_bytes
    Column("payload_bytes", BigKey, nullable=False),  # length as sent
    Column("qos", SmallInteger, nullable=False),
    Column("client_id", String(256), nullable=False),
    Column("identity", String(256), nullable=False),  # who sent it, as authenticated
    Column("reason_code", SmallInteger, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("ix_quarantine_organization_id_id", "organization_id", "id"),
)
