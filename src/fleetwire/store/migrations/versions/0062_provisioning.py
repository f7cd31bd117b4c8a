"""Claim codes, fleet keys and requests to enrol.

Revision ID: 0062_provisioning
"""

revision = "0062_provisioning"
down_revision = "0061_types"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
