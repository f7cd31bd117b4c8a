"""More ways to show who one is: keys of services, SCRAM, client certificates.

Revision ID: 0003_identities
"""

import sqlalchemy as sa
from alembic import op

revision = "0003_identities"
down_revision = "0002_journal"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "credential_verifiers",
        sa.Column("credential", _KEY, autoincrement=False, nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("iterations", sa.Integer, nullable=False),
        sa.Column("stored_key", sa.String(64), nullable=False),
        sa.Column("server_key", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("credential", name="pk_credential_verifiers"),
        sa.ForeignKeyConstraint(
            ["credential"],
            ["device_credentials.id"],
            name="fk_credential_verifiers_credential",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "credential_certificates",
        sa.Column("credential", _KEY, autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("credential", name="pk_credential_certificates"),
        sa.ForeignKeyConstraint(
            ["credential"],
            ["device_credentials.id"],
            name="fk_credential_certificates_credential",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_credential_certificates_fingerprint", "credential_certificates", ["fingerprint"]
    )
    op.create_table(
        "api_keys",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("publish", sa.JSON, nullable=False),
        sa.Column("subscribe", sa.JSON, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_api_keys_organization_id"
        ),
        sa.UniqueConstraint("token_hash", name="uq_api_keys_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_api_keys_organization_id", "api_keys", ["organization_id"])
