"""The tables of people's accounts and their refresh tokens."""

from sqlalchemy import Boolean, Column, ForeignKey, String, Table

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
