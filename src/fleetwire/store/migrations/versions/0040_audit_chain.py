"""Audit rows hold the digest of themselves and of the row before them.

Revision ID: 0040_audit_chain
"""

import sqlalchemy as sa
from alembic import op

revision = "0040_audit_chain"
down_revision = "0050_first_answers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows that are there stay without a digest: nobody can vouch for them any more.
    # Made anew: else SQLite writes new columns behind the constraints, as no other table has them.
    with op.batch_alter_table("audit", recreate="always") as batch:
        batch.add_column(sa.Column("previous", sa.String(64)))
        batch.add_column(sa.Column("digest", sa.String(64)))
