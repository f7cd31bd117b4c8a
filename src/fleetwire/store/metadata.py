"""The one MetaData that every room's tables belong to, and the column types they share."""

from fleetwire.kit.tables import BigKey, Instant, new_metadata

__all__ = ["BigKey", "Instant", "metadata"]

metadata = new_metadata()
