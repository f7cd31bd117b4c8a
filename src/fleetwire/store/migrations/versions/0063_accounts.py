"""Keys of people's own, passwords that are good for one login, and where logins came from.

Revision ID: 0063_accounts
"""

import sqlalchemy as sa
from alembic import op

revision = "0063_accounts"
down_revision = "0062_provisioning"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "key_owners",
        sa.Column("key_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("account_id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_owners"),
    )
    op.create_index("ix_key_owners_account_id", "key_owners", ["account_id"])
    op.create_table(
        "one_time_passwords",
        sa.Column("account_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("used_at", _INSTANT),
        sa.PrimaryKeyConstraint("account_id", name="pk_one_time_passwords"),
    )
    op.create_table(
        "login_origins",
        sa.Column("family", sa.String(32), nullable=False),
        sa.Column("remote", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(32)),
        sa.PrimaryKeyConstraint("family", name="pk_login_origins"),
    )
    op.create_index("ix_login_origins_parent", "login_origins", ["parent"])


def downgrade() -> None:
    op.drop_index("ix_login_origins_parent", "login_origins")
    op.drop_table("login_origins")
    op.drop_table("one_time_passwords")
    op.drop_index("ix_key_owners_account_id", "key_owners")
    op.drop_table("key_owners")
