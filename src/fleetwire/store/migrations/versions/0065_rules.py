"""Rule chains, their runs, and what they wait to send.

Revision ID: 0065_rules
"""

import sqlalchemy as sa
from alembic import op

revision = "0065_rules"
down_revision = "0064_jobs"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "rule_chains",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("app", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("draft", sa.JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("scheduled_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_rule_chains_organization_id"
        ),
        sa.PrimaryKeyConstraint("key", name="pk_rule_chains"),
        sa.UniqueConstraint(
            "organization_id", "app", "id", name="uq_rule_chains_organization_id_app_id"
        ),
    )
    op.create_table(
        "rule_executions",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("chain", _KEY, nullable=False),
        sa.Column("trigger", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("aborted_reason", sa.String(32)),
        sa.Column("error", sa.String(500)),
        sa.Column("nodes", sa.JSON, nullable=False),
        sa.Column("repeats", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rule_executions"),
        sa.UniqueConstraint("chain", "trigger", name="uq_rule_executions_chain_trigger"),
    )
    op.create_index("ix_rule_executions_chain_key", "rule_executions", ["chain", "key"])
    op.create_table(
        "rule_position",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rule_position"),
    )
    op.create_table(
        "rule_outbox",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("organization_id", _KEY, nullable=False),
        sa.Column("chain", _KEY, nullable=False),
        sa.Column("trigger", sa.String(200), nullable=False),
        sa.Column("node", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("said", sa.JSON, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rule_outbox"),
    )
    op.create_index("ix_rule_outbox_due_at", "rule_outbox", ["due_at"])


def downgrade() -> None:
    op.drop_table("rule_outbox")
    op.drop_table("rule_position")
    op.drop_table("rule_executions")
    op.drop_table("rule_chains")
