"""What an app's own tables are made of, so that they read like those of the house.

    metadata = new_metadata()

    orders = Table(
        "vending_orders",
        metadata,
        Column("id", BigKey, primary_key=True),
        Column("organization_id", BigKey, nullable=False),
        Column("created_at", Instant, nullable=False),
    )

They are made by the app's own migrations (`App.migrations`), and read and written through `Store`.
Instants are integers: microseconds since 1970-01-01 UTC. They compare, index and bucket the same
way on every database, and no driver gets to guess a time zone.
"""

from sqlalchemy import BigInteger, Integer, MetaData

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite makes a table's key its rowid only for the exact type INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")
Instant = BigInteger


def new_metadata() -> MetaData:
    """Return the MetaData of an app's tables: indexes and keys are named as those of the house."""
    return MetaData(naming_convention=NAMING)
