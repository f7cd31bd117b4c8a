"""The tables of how devices get in: claim codes, fleet keys, requests to enrol."""

from sqlalchemy import (
    JSON,
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

# A code's text is in no table: it is made of the nonce and the house's secret, see claims.py.
claims = Table(
    "claims",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("nonce", String(32), nullable=False),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("app", String(64), nullable=False),
    Column("device_id", String(128)),  # none: whoever claims says it
    Column("type", String(64), nullable=False),
    Column("name", String(200)),
    Column("attributes", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(256), nullable=False),
)

fleet_keys = Table(
    "fleet_keys",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("app", String(64), nullable=False),
    Column("type", String(64), nullable=False),  # of a device that does not say its own
    Column("tags", JSON, nullable=False),
    Column("key_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column("auto_approve", Boolean, nullable=False),
    Column("max_devices", Integer),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(256), nullable=False),
)

# Whoever asked to be let in with a fleet key, and devices that came in by themselves.
enrolments = Table(
    "enrolments",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("way", String(16), nullable=False),  # fleet_key | certificate | message
    Column("fleet_key", BigKey, ForeignKey("fleet_keys.id")),
    Column("app", String(64), nullable=False),
    Column("device_id", String(128), nullable=False),
    Column("type", String(64), nullable=False),
    Column("name", String(200)),
    Column("facts", JSON, nullable=False),  # what the device says of itself, for who decides
    Column("attributes", JSON, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # pending | approved | refused | enrolled
    Column("reason", String(200), nullable=False),
    Column("poll_hash", String(64), unique=True),  # SHA-256, hexadecimal
    # Once it is enrolled. Without foreign keys: the request outlives the device.
    Column("device", BigKey),
    Column("credential", BigKey),
    Column("remote", String(64), nullable=False),
    Column("asked", Integer, nullable=False),  # how often
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("decided_at", Instant),
    Column("decided_by", String(256)),
    UniqueConstraint("fleet_key", "device_id"),
    Index("ix_enrolments_organization_id", "organization_id", "id"),
)
