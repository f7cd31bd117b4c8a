"""Long work that people can watch.

Revision ID: 0064_jobs
"""

import sqlalchemy as sa
from alembic import op

revision = "0064_jobs"
down_revision = "0063_accounts"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("error", sa.String(500)),
        sa.Column("read_permission", sa.String(64), nullable=False),
        sa.Column("write_permission", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_jobs_organization_id"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
    )
    op.create_index("ix_jobs_organization_id_key", "jobs", ["organization_id", "key"])
    op.create_index("ix_jobs_state_updated_at", "jobs", ["state", "updated_at"])


def downgrade() -> None:
    op.drop_table("jobs")
