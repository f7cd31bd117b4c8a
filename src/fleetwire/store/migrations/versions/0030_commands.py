"""Terms and batches of commands; the history of who was there.

Revision ID: 0030_commands
"""

import sqlalchemy as sa
from alembic import op

revision = "0030_commands"
down_revision = "0040_audit_chain"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "command_terms",
        sa.Column("command_id", sa.String(32), nullable=False),
        sa.Column("lane", sa.String(64)),
        sa.Column("may_repeat", sa.Boolean, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("batch_id", sa.String(32)),
        sa.PrimaryKeyConstraint("command_id", name="pk_command_terms"),
    )
    op.create_index("ix_command_terms_batch_id", "command_terms", ["batch_id"])
    op.create_table(
        "command_batches",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("terms", sa.JSON, nullable=False),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("refused", sa.JSON, nullable=False),
        sa.Column("refused_count", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(128)),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("spread_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_command_batches"),
        sa.UniqueConstraint(
            "organization_id",
            "idempotency_key",
            name="uq_command_batches_organization_id_idempotency_key",
        ),
    )
    op.create_index("ix_command_batches_spread_at", "command_batches", ["spread_at"])
    op.create_table(
        "presence_changes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("device", _KEY, nullable=False),
        sa.Column("aspect", sa.String(16), nullable=False),
        sa.Column("holds", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_presence_changes"),
    )
    op.create_index("ix_presence_changes_device_id", "presence_changes", ["device", "id"])
