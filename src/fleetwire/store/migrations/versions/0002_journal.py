"""What the broker still knows after a restart.

Revision ID: 0002_journal
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002_journal"
down_revision = "0001_first"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_INSTANT = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "mqtt_sessions",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        *_grant(),
        sa.Column("expiry_interval", sa.BigInteger, nullable=False),
        sa.Column("disconnected_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mqtt_sessions"),
        sa.UniqueConstraint("client_id", name="uq_mqtt_sessions_client_id"),
    )
    op.create_table(
        "mqtt_subscriptions",
        sa.Column("session", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("topic_filter", sa.Text, nullable=False),
        sa.Column("qos", sa.SmallInteger, nullable=False),
        sa.Column("no_local", sa.SmallInteger, nullable=False),
        sa.Column("retain_as_published", sa.SmallInteger, nullable=False),
        sa.Column("retain_handling", sa.SmallInteger, nullable=False),
        sa.Column("identifier", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session", "topic_filter", name="pk_mqtt_subscriptions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mqtt_messages",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        *_message(),
        sa.PrimaryKeyConstraint("id", name="pk_mqtt_messages"),
    )
    op.create_table(
        "mqtt_outgoing",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("message", sa.BigInteger, nullable=False),
        sa.Column("qos", sa.SmallInteger, nullable=False),
        sa.Column("retain", sa.SmallInteger, nullable=False),
        sa.Column("subscription_ids", sa.LargeBinary),
        sa.Column("shared", sa.SmallInteger, nullable=False),
        sa.Column("packet_id", sa.Integer, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mqtt_outgoing"),
    )
    op.create_table(
        "mqtt_received",
        sa.Column("session", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("packet_id", sa.Integer, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("session", "packet_id", name="pk_mqtt_received"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mqtt_retained",
        *_message(),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_mqtt_retained"),
    )
    op.create_table(
        "mqtt_wills",
        sa.Column("client_id", sa.Text, nullable=False),
        *_grant(),
        *_message(),
        sa.Column("delay_s", sa.BigInteger, nullable=False),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("client_id", name="pk_mqtt_wills"),
    )


def _grant() -> list[sa.Column[Any]]:
    return [
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("organization_id", sa.BigInteger, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("device", sa.BigInteger, nullable=False),
        sa.Column("credential", sa.BigInteger, nullable=False),
        sa.Column("anonymous", sa.SmallInteger, nullable=False),
    ]


def _message() -> list[sa.Column[Any]]:
    return [
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("qos", sa.SmallInteger, nullable=False),
        sa.Column("retain", sa.SmallInteger, nullable=False),
        sa.Column("properties", sa.LargeBinary),
    ]
