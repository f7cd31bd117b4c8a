"""The tables of devices and their credentials."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.store.metadata import BigKey, Instant, metadata

devices = Table(
    "devices",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("app", String(64), nullable=False),
    Column("device_id", String(128), nullable=False),  # the device's own name, as in its topics
    Column("type", String(64), nullable=False),
    Column("name", String(200)),
    Column("attributes", JSON, nullable=False),  # what only the app understands
    # Reported by the device in its status messages; unsent fields keep their last value.
    Column("status", String(32), nullable=False),
    Column("reported", JSON, nullable=False),
    # Presence, as last written (memory knows it first).
    Column("connected", Boolean, nullable=False),
    Column("connected_reason", String(64)),
    Column("connected_since_at", Instant),
    Column("last_seen_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("app", "device_id"),
    # Readings and events hold this key without a foreign key: a removed device's key must never be
    # given to another one, and SQLite alone would do that.
    sqlite_autoincrement=True,
)

device_tags = Table(
    "device_tags",
    metadata,
    Column("device", BigKey, ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(64), primary_key=True, index=True),
)

# Attributes as queries compare them, see facts.py; made anew with each change of them.
device_facts = Table(
    "device_facts",
    metadata,
    Column("device", BigKey, ForeignKey("devices.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("text", String(200), nullable=False),
    Column("number", Double),
)

# Who belongs to a group is not stored: it is whom its query means when it is asked.
device_groups = Table(
    "device_groups",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", String(200), nullable=False),
    Column("query", String(1000), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "name"),
)

device_credentials = Table(
    "device_credentials",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column(
        "device", BigKey, ForeignKey("devices.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("created_at", Instant, nullable=False),
)

# What a token is proved with without being sent (RFC 5802); tokens of before have none.
credential_verifiers = Table(
    "credential_verifiers",
    metadata,
    Column(
        "credential",
        BigKey,
        ForeignKey("device_credentials.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("salt", String(64), nullable=False),  # hexadecimal, as are the keys
    Column("iterations", Integer, nullable=False),
    Column("stored_key", String(64), nullable=False),
    Column("server_key", String(64), nullable=False),
)

# A credential that is a client certificate. The token_hash of its credential is of no token.
credential_certificates = Table(
    "credential_certificates",
    metadata,
    Column(
        "credential",
        BigKey,
        ForeignKey("device_credentials.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    # SHA-256 of DER, hexadecimal. Not unique: one that was revoked may be bound again.
    Column("fingerprint", String(64), nullable=False, index=True),
)

# Credentials of which it was told that they end soon, so that it is told once.
credential_warnings = Table(
    "credential_warnings",
    metadata,
    Column(
        "credential",
        BigKey,
        ForeignKey("device_credentials.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("told_at", Instant, nullable=False),
)

device_events = Table(
    "device_events",
    metadata,
    # From the same sequence as readings.id, so that one cursor covers both in commit order.
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("organization_id", BigKey, nullable=False),
    Column("app", String(64), nullable=False),
    Column("device", BigKey, nullable=False),
    Column("name", String(64), nullable=False),  # device.status, device.connected, command.sent, …
    Column("topic", String(1024)),
    Column("body", JSON, nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("ix_device_events_device_id", "device", "id"),
)

# What changed of a device's presence, and why; the last MAX_CHANGES of each device are kept.
presence_changes = Table(
    "presence_changes",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("device", BigKey, nullable=False),
    Column("aspect", String(16), nullable=False),  # connected | fresh | steady
    Column("holds", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_presence_changes_device_id", "device", "id"),
)
