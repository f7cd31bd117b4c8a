"""Device types and areas.

Revision ID: 0061_types
"""

revision = "0061_types"
down_revision = "0010_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
