"""Long work that people can watch.

Revision ID: 0064_jobs
"""

revision = "0064_jobs"
down_revision = "0063_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
