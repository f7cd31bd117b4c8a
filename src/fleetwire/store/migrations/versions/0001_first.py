"""The tables of the first version.

Revision ID: 0001_first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001_first"
down_revision = None
branch_labels = ("platform",)
depends_on = None

# Revisions say every type and name themselves: what they made once must not change with the code.
_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    _organizations_and_accounts()
    _devices()
    _readings()
    _commands()
    _refusals_and_records()


def _organizations_and_accounts() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("name", name="uq_organizations_name"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("username", sa.String(128), nullable=False),
        sa.Column("full_name", sa.String(200)),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("last_login_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("email", name="uq_accounts_email"),
        sa.UniqueConstraint("username", name="uq_accounts_username"),
    )
    op.create_table(
        "members",
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("account_id", _KEY, nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "account_id", name="pk_members"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_members_organization_id"
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_members_account_id"),
    )
    op.create_index("ix_members_account_id", "members", ["account_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("account_id", _KEY, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("used_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_refresh_tokens_account_id"
        ),
        sa.UniqueConstraint("token_hash", name="uq_refresh_tokens_token_hash"),
    )
    op.create_index("ix_refresh_tokens_account_id", "refresh_tokens", ["account_id"])
    op.create_index("ix_refresh_tokens_family", "refresh_tokens", ["family"])


def _devices() -> None:
    op.create_table(
        "devices",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(128), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("reported", sa.JSON, nullable=False),
        sa.Column("connected", sa.Boolean, nullable=False),
        sa.Column("connected_reason", sa.String(64)),
        sa.Column("connected_since_at", _INSTANT),
        sa.Column("last_seen_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_devices_organization_id"
        ),
        sa.UniqueConstraint("app", "device_id", name="uq_devices_app_device_id"),
        sqlite_autoincrement=True,  # a removed device's key is never given to another one
    )
    op.create_index("ix_devices_organization_id", "devices", ["organization_id"])
    op.create_table(
        "device_credentials",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("device", _KEY, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_credentials"),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.id"], name="fk_device_credentials_device", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name="uq_device_credentials_token_hash"),
    )
    op.create_index("ix_device_credentials_device", "device_credentials", ["device"])
    op.create_table(
        "device_events",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("topic", sa.String(1024)),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_events"),
    )
    op.create_index("ix_device_events_device_id", "device_events", ["device", "id"])


def _readings() -> None:
    op.create_table(
        "metrics",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metrics"),
        sa.UniqueConstraint("name", "unit", name="uq_metrics_name_unit"),
    )
    op.create_table(
        "readings",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("device", sa.BigInteger, nullable=False),
        sa.Column("metric", sa.BigInteger, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("number", sa.Double, nullable=False),
        sa.Column("digest", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("flags", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_readings"),
    )
    op.create_index(
        "uq_readings_value",
        "readings",
        ["device", "metric", "at", "number", "digest"],
        unique=True,
    )
    op.create_table(
        "alarms",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("message", sa.String(500), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("raised_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarms"),
    )
    op.create_index("ix_alarms_device_raised_at", "alarms", ["device", "raised_at"])


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device", _KEY, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("result", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(128)),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_commands"),
        sa.UniqueConstraint("device", "idempotency_key", name="uq_commands_device_idempotency_key"),
    )
    op.create_index("ix_commands_device_created_at", "commands", ["device", "created_at"])
    op.create_index("ix_commands_state_expires_at", "commands", ["state", "expires_at"])
    op.create_table(
        "command_events",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("command_id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_command_events"),
    )
    op.create_index("ix_command_events_command_id", "command_events", ["command_id"])


def _refusals_and_records() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY),
        sa.Column("app", sa.String(64)),
        sa.Column("topic", sa.String(1024), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("payload_bytes", _KEY, nullable=False),
        sa.Column("qos", sa.SmallInteger, nullable=False),
        sa.Column("client_id", sa.String(256), nullable=False),
        sa.Column("identity", sa.String(256), nullable=False),
        sa.Column("reason_code", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_organization_id_id", "quarantine", ["organization_id", "id"])
    op.create_table(
        "audit",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(256)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("remote", sa.String(64)),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_organization_id_id", "audit", ["organization_id", "id"])
