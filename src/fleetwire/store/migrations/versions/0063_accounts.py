"""Personal keys.

Revision ID: 0063_accounts
"""

revision = "0063_accounts"
down_revision = "0062_provisioning"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
