"""The tables of people's accounts and logins, invitations, and the keys of services."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table

from fleetwire.store.metadata import BigKey, Instant, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("email", String(320), nullable=False, unique=True),  # lower case; no @ = has none
    Column("username", String(128), nullable=False, unique=True),  # "ann", "realm:ann"
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
    Column("kind", String(16), nullable=False),  # service | personal
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

# Raised when a password changes or an account is closed: older access tokens end with that.
token_versions = Table(
    "token_versions",
    metadata,
    Column("account_id", BigKey, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("family", String(32), primary_key=True),  # of its refresh tokens
    Column("account_id", BigKey, nullable=False, index=True),
    Column("organization_id", BigKey, nullable=False),  # the one its tokens are for
)

# From where a login was begun, and from which other one; a login of before this has no row.
login_origins = Table(
    "login_origins",
    metadata,
    Column("family", String(32), primary_key=True),
    Column("remote", String(64), nullable=False),
    Column("parent", String(32), index=True),
)

# What a key may do over HTTP; a key without a row only has its topics.
key_scopes = Table(
    "key_scopes",
    metadata,
    Column("key_id", BigKey, primary_key=True, autoincrement=False),
    Column("permissions", JSON, nullable=False),
)

# Whose own a key is; a key without a row is its organisation's.
key_owners = Table(
    "key_owners",
    metadata,
    Column("key_id", BigKey, primary_key=True, autoincrement=False),
    Column("account_id", BigKey, nullable=False, index=True),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False, index=True),
    Column("email", String(320), nullable=False),  # lower case
    Column("role", String(32), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column("expires_at", Instant, nullable=False),
    Column("accepted_at", Instant),
    Column("revoked_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(256), nullable=False),
)

# Accounts whose password is good for one login; the row goes with the next password.
one_time_passwords = Table(
    "one_time_passwords",
    metadata,
    Column("account_id", BigKey, primary_key=True, autoincrement=False),
    Column("used_at", Instant),
)

# One of an account at a time; it goes when it is used.
password_resets = Table(
    "password_resets",
    metadata,
    Column("account_id", BigKey, primary_key=True, autoincrement=False),
    Column("token_hash", String(64), nullable=False, unique=True),  # SHA-256, hexadecimal
    Column("expires_at", Instant, nullable=False),
)
