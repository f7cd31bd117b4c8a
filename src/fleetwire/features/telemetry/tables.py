"""The tables of readings: narrow, typed, and idempotent.

One row is one value of one metric of one device at one instant. What a redelivery brings again
meets the unique index and is not stored twice; another value at the same instant differs in
`number` or `digest` and is kept beside it. The same index answers «one metric of one device over a
range».
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from fleetwire.store.metadata import BigKey, Instant, metadata

metrics = Table(
    "metrics",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("unit", String(32), nullable=False),  # UCUM; "" = none given
    UniqueConstraint("name", "unit"),
)

readings = Table(
    "readings",
    metadata,
    # Given by the writer from one ascending sequence: it is the order of commit, and the cursor.
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("device", BigInteger, nullable=False),
    Column("metric", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),  # event time
    Column("received_at", Instant, nullable=False),
    Column("kind", SmallInteger, nullable=False),  # telemetry.values.KIND_*
    Column("number", Double, nullable=False),  # 0 where kind is text or JSON
    # 0 for numbers; 1 for booleans; else 64 bits of the text's hash. Part of the unique index,
    # where the text itself could be long and a NULL would never be equal to a NULL.
    Column("digest", BigInteger, nullable=False),
    Column("text", Text),  # text, or JSON as text
    Column("flags", SmallInteger, nullable=False),  # telemetry.values.FLAG_*
    Column("source", Text),  # the message as sent
    Index("uq_readings_value", "device", "metric", "at", "number", "digest", unique=True),
)
