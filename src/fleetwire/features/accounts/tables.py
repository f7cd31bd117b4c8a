"""The tables of people's accounts, their refresh tokens, and the keys of services."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("email", String(320), nullable=False, unique=True),  # lower case
    Column("username", String(128), nullable=False, unique=True),
    Column("full_name", String(200)),
    Column("password_hash", String(255)),  # argon2; NULL = signs in elsewhere
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_login_at", Instant),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("account_id", BigKey, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column(
        "family", String(32), nullable=False, index=True
    ),  # one per login; reuse revokes all of it
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
    Column("created_at", Instant, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),  # unique among those that can be used
    Column("kind", String(16), nullable=False),  # service
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column("publish", JSON, nullable=False),  # lists of topic rights, with their places
    Column("subscribe", JSON, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(256), nullable=False),  # account:17
    # A key's number is part of its identity: it is never given to another one.
    sqlite_autoincrement=True,
)
