"""The table of who did what, when, from where."""

from sqlalchemy import JSON, Column, Index, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

audit = Table(
    "audit",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey),
    Column("at", Instant, nullable=False),
    Column("actor", String(256), nullable=False),  # account:…, device:…, anonymous, system
    Column(
        "action", String(64), nullable=False
    ),  # login.failed, device.registered, patient.read, …
    Column("subject", String(256)),
    Column("outcome", String(16), nullable=False),  # ok | refused
    Column("remote", String(64)),
    Column("detail", JSON, nullable=False),
    # The chain: the digest of the row before, "" for the first; NULL: from before there was one.
    Column("previous", String(64)),
    Column("digest", String(64)),
    Index("ix_audit_organization_id_id", "organization_id", "id"),
)
