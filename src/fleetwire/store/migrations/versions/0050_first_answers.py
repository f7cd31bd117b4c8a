"""The answers to requests that carry an Idempotency-Key.

Revision ID: 0050_first_answers
"""

import sqlalchemy as sa
from alembic import op

revision = "0050_first_answers"
down_revision = "0003_identities"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "first_answers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_first_answers"),
    )
    op.create_index("ix_first_answers_expires_at", "first_answers", ["expires_at"])
