"""The tables of the broker's state: what the journal keeps over a restart.

All keys are given by the journal, in memory and ascending, so that many rows go into one statement
and a key is the order in which its row was first told. There are no foreign keys: the journal
writes both sides in one transaction, and what belongs to nothing is swept at the next start.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.schema import UniqueConstraint

from fleetwire.store.metadata import BigKey, Instant, metadata


def _grant() -> list[Column[object]]:
    """Who a client is (broker.grants.Grant), without its rights: they come with each CONNECT."""
    return [
        Column("identity", Text, nullable=False),
        Column("organization_id", BigInteger, nullable=False),
        Column("app", Text, nullable=False),
        Column("device", BigInteger, nullable=False),
        Column("credential", BigInteger, nullable=False),
        Column("anonymous", SmallInteger, nullable=False),
    ]


def _message() -> list[Column[object]]:
    return [
        Column("topic", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("qos", SmallInteger, nullable=False),
        Column("retain", SmallInteger, nullable=False),
        Column("properties", LargeBinary),  # as in the packet, with their length; NULL = none
    ]


sessions = Table(
    "mqtt_sessions",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("client_id", Text, nullable=False),
    *_grant(),
    Column("expiry_interval", BigInteger, nullable=False),  # seconds, 0xFFFFFFFF = never
    Column("disconnected_at", Instant, nullable=False),  # 0 = connected
    UniqueConstraint("client_id"),
)

subscriptions = Table(
    "mqtt_subscriptions",
    metadata,
    Column("session", BigInteger, primary_key=True, autoincrement=False),
    Column("topic_filter", Text, primary_key=True),
    Column("qos", SmallInteger, nullable=False),
    Column("no_local", SmallInteger, nullable=False),
    Column("retain_as_published", SmallInteger, nullable=False),
    Column("retain_handling", SmallInteger, nullable=False),
    Column("identifier", BigInteger, nullable=False),  # 0 = none
    sqlite_with_rowid=False,
)

# A message stands here once, however many sessions it waits for.
messages = Table(
    "mqtt_messages",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),
    *_message(),
)

outgoing = Table(
    "mqtt_outgoing",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),  # also the order in the session
    Column("session", BigInteger, nullable=False),
    Column("message", BigInteger, nullable=False),
    Column("qos", SmallInteger, nullable=False),
    Column("retain", SmallInteger, nullable=False),
    Column("subscription_ids", LargeBinary),  # as properties; NULL = none
    Column("shared", SmallInteger, nullable=False),  # came by a shared subscription
    Column("packet_id", Integer, nullable=False),  # 0 = waits in the queue
    Column("state", SmallInteger, nullable=False),  # broker.session.WAIT_*, 0 = waits in the queue
    Column("expires_at", Instant, nullable=False),  # 0 = never
)

received = Table(
    "mqtt_received",
    metadata,
    Column("session", BigInteger, primary_key=True, autoincrement=False),
    Column("packet_id", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

retained = Table(
    "mqtt_retained",
    metadata,
    *[
        Column(
            column.name, column.type, primary_key=column.name == "topic", nullable=column.nullable
        )
        for column in _message()
    ],
    Column("expires_at", Instant, nullable=False),  # 0 = never
)

wills = Table(
    "mqtt_wills",
    metadata,
    Column("client_id", Text, primary_key=True),
    *_grant(),
    *_message(),
    Column("delay_s", BigInteger, nullable=False),
    Column("due_at", Instant, nullable=False),  # 0 = its client is connected
)
