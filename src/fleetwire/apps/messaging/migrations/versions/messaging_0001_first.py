"""Messages under history, subscriptions, rooms and their members.

Revision ID: messaging_0001
"""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
)

revision = "messaging_0001"
down_revision = None
branch_labels = ("messaging",)
depends_on = "0001_first"

# SQLite makes a table's key its rowid only for the exact type INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "messaging_messages",
        Column("id", _KEY, primary_key=True),
        Column("topic", String(1024), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("qos", Integer, nullable=False),
        Column("retain", Boolean, nullable=False),
        Column("received_at", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messaging_messages_received_at", "messaging_messages", ["received_at"])
    op.create_table(
        "messaging_subscriptions",
        Column("id", String(36), primary_key=True),
        Column("organization_id", _KEY, nullable=False),
        Column("actor", String(200), nullable=False),
        Column("user_id", String(200), nullable=False),
        Column("topic", String(1024), nullable=False),
        Column("qos", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        UniqueConstraint(
            "organization_id", "actor", "topic", name="uq_messaging_subscriptions_actor"
        ),
    )
    op.create_table(
        "messaging_rooms",
        Column("id", String(128), primary_key=True),
        Column("organization_id", _KEY, nullable=False),
        Column("created_at", BigInteger, nullable=False),
    )
    op.create_index("ix_messaging_rooms_organization_id", "messaging_rooms", ["organization_id"])
    op.create_table(
        "messaging_members",
        Column(
            "room",
            String(128),
            ForeignKey("messaging_rooms.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        Column("user_id", String(200), primary_key=True),
        Column("created_at", BigInteger, nullable=False),
    )
    op.create_index("ix_messaging_members_user_id", "messaging_members", ["user_id"])


def downgrade() -> None:
    """Remove the tables."""
    for name in ("members", "rooms", "subscriptions", "messages"):
        op.drop_table(f"messaging_{name}")
