"""The app's own tables."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.kit import BigKey, Instant, new_metadata

TOPIC_CHARS = 1024

metadata = new_metadata()

# Messages of topics under history. Ids ascend in the order of commits.
messages = Table(
    "messaging_messages",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("topic", String(TOPIC_CHARS), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("qos", Integer, nullable=False),
    Column("retain", Boolean, nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("ix_messaging_messages_received_at", "received_at"),
    sqlite_autoincrement=True,  # an id is not used twice, also if the newest row is removed
)

# Subscriptions made over HTTP: they are there after a restart.
subscriptions = Table(
    "messaging_subscriptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("user_id", String(200), nullable=False),
    Column("topic", String(TOPIC_CHARS), nullable=False),
    Column("qos", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "actor", "topic", name="uq_messaging_subscriptions_actor"),
)

# A room's name is in its topic, so that it is one organisation's.
rooms = Table(
    "messaging_rooms",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("organization_id", BigKey, nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
)

members = Table(
    "messaging_members",
    metadata,
    Column(
        "room", String(128), ForeignKey("messaging_rooms.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("user_id", String(200), primary_key=True, index=True),
    Column("created_at", Instant, nullable=False),
)
