"""The tables of areas and of who stands in them."""

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.features.areas.rules import MAX_NAME_CHARS, MAX_PATH_CHARS
from fleetwire.store.metadata import BigKey, Instant, metadata

areas = Table(
    "areas",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("parent", BigKey, ForeignKey("areas.id"), index=True),  # NULL: stands at the top
    Column("name", String(MAX_NAME_CHARS), nullable=False),
    # The names from the top down, with / between them: written anew for all that is below when an
    # area is renamed or moved, which is rare beside questions for it.
    Column("path", String(MAX_PATH_CHARS), nullable=False),
    Column("depth", SmallInteger, nullable=False),  # 1 = at the top
    Column("attributes", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "path"),
)

# A table of its own: SQLite would have to make `devices` anew for a column that refers to areas.
device_areas = Table(
    "device_areas",
    metadata,
    Column(
        "device",
        BigKey,
        ForeignKey("devices.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("area", BigKey, ForeignKey("areas.id"), nullable=False),
    Index("ix_device_areas_area", "area"),
)
