"""The table of the organisations' own device types."""

from sqlalchemy import JSON, Column, ForeignKey, String, Table, UniqueConstraint

from fleetwire.store.metadata import BigKey, Instant, metadata

device_types = Table(
    "device_types",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, ForeignKey("organizations.id"), nullable=False),
    Column("name", String(64), nullable=False),  # as it stands in devices.type
    Column("definition", JSON, nullable=False),  # a kit.DeviceType without its name
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("organization_id", "name"),
)
