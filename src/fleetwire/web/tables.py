"""The table of answers that are given again."""

from sqlalchemy import Column, Index, LargeBinary, SmallInteger, String, Table

from fleetwire.store.metadata import Instant, metadata

first_answers = Table(
    "first_answers",
    metadata,
    Column("id", String(64), primary_key=True),  # who asks, where, and his key: as a hash
    Column("request", String(64), nullable=False),  # hash of the first request's body
    Column("status", SmallInteger),  # None: being carried out, or cut off
    Column("answer", LargeBinary),  # encrypted with a key that only the sender's key makes
    Column("expires_at", Instant, nullable=False),
    Index("ix_first_answers_expires_at", "expires_at"),
)
