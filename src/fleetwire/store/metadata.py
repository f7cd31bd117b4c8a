"""The one MetaData that every room's tables belong to, and the column types they share.

Instants are integers: microseconds since 1970-01-01 UTC. They compare, index and bucket the same
way on every database, and no driver gets to guess a time zone.
"""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes a table's key its rowid only for the exact type INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")
Instant = BigInteger
