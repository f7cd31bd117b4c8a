"""Claim codes, fleet keys and requests to enrol; which credentials' ends were told.

Revision ID: 0062_provisioning
"""

import sqlalchemy as sa
from alembic import op

revision = "0062_provisioning"
down_revision = "0061_types"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("nonce", sa.String(32), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(128)),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_claims"),
        sa.UniqueConstraint("code_hash", name="uq_claims_code_hash"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_claims_organization_id"
        ),
    )
    op.create_index("ix_claims_organization_id", "claims", ["organization_id"])
    op.create_table(
        "fleet_keys",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("auto_approve", sa.Boolean, nullable=False),
        sa.Column("max_devices", sa.Integer),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fleet_keys"),
        sa.UniqueConstraint("key_hash", name="uq_fleet_keys_key_hash"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_fleet_keys_organization_id"
        ),
    )
    op.create_index("ix_fleet_keys_organization_id", "fleet_keys", ["organization_id"])
    op.create_table(
        "enrolments",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("way", sa.String(16), nullable=False),
        sa.Column("fleet_key", _KEY),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("device_id", sa.String(128), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200)),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("poll_hash", sa.String(64)),
        sa.Column("device", _KEY),
        sa.Column("credential", _KEY),
        sa.Column("remote", sa.String(64), nullable=False),
        sa.Column("asked", sa.Integer, nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("decided_at", _INSTANT),
        sa.Column("decided_by", sa.String(256)),
        sa.PrimaryKeyConstraint("id", name="pk_enrolments"),
        sa.UniqueConstraint("fleet_key", "device_id", name="uq_enrolments_fleet_key_device_id"),
        sa.UniqueConstraint("poll_hash", name="uq_enrolments_poll_hash"),
        sa.ForeignKeyConstraint(["fleet_key"], ["fleet_keys.id"], name="fk_enrolments_fleet_key"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_enrolments_organization_id"
        ),
    )
    op.create_index("ix_enrolments_organization_id", "enrolments", ["organization_id", "id"])
    op.create_table(
        "credential_warnings",
        sa.Column("credential", _KEY, nullable=False, autoincrement=False),
        sa.Column("told_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("credential", name="pk_credential_warnings"),
        sa.ForeignKeyConstraint(
            ["credential"],
            ["device_credentials.id"],
            name="fk_credential_warnings_credential",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    for table in ("credential_warnings", "enrolments", "fleet_keys", "claims"):
        op.drop_table(table)
