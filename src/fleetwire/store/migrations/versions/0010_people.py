"""Logins know their organisation, tokens can be ended, keys reach HTTP, people are invited.

Revision ID: 0010_people
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_people"
down_revision = "0020_groups"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    # Tables of their own instead of columns: SQLite would have to make accounts and keys anew,
    # which others refer to.
    op.create_table(
        "token_versions",
        sa.Column("account_id", _KEY, nullable=False, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_token_versions"),
    )
    op.create_table(
        "logins",
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("account_id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("family", name="pk_logins"),
    )
    op.create_index("ix_logins_account_id", "logins", ["account_id"])
    op.create_table(
        "key_scopes",
        sa.Column("key_id", _KEY, nullable=False, autoincrement=False),
        sa.Column("permissions", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_scopes"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("accepted_at", _INSTANT),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    op.create_index("ix_invitations_organization_id", "invitations", ["organization_id"])
    op.create_table(
        "password_resets",
        sa.Column("account_id", _KEY, nullable=False, autoincrement=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_password_resets"),
        sa.UniqueConstraint("token_hash", name="uq_password_resets_token_hash"),
    )
