"""The app's own tables. A tablet's key is that of its device in the registry."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from fleetwire.kit import BigKey, Instant, new_metadata

metadata = new_metadata()

# What a tablet last said, and what people did with it. NULL = it was never said.
tablets = Table(
    "tablets",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),
    Column("organization_id", BigKey, nullable=False),
    Column("code", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_reason", String(64), nullable=False),
    Column("status_since_at", Instant),
    Column("last_seen_at", Instant),
    Column("battery", Integer),
    Column("wifi_status", Boolean),
    Column("uptime_ms", BigInteger),
    Column("is_charging", Boolean),
    Column("battery_health", String(16)),
    Column("charging_method", String(16)),
    Column("mobile_data_enabled", Boolean),
    Column("network_connected", Boolean),
    Column("screen_on", Boolean),
    Column("volume_level", Integer),
    Column("bluetooth_enabled", Boolean),
    Column("installed_apps_count", Integer),
    Column("boot_time_ms", BigInteger),
    Column("kiosk_mode", Boolean, nullable=False),
    Column("latitude", Double),
    Column("longitude", Double),
    Column("accuracy_m", Double),
    Column("speed", Double),
    Column("heading", Double),
    Column("located_at", Instant),
    Column("borrow_status", String(16), nullable=False),
    Column("maintenance_status", String(16), nullable=False),
    Column("problem", String(1000)),
    Column("solution", String(1000)),
    Column("updated_at", Instant, nullable=False),
    Index("ix_tablets_organization_id", "organization_id", "id"),
    Index("ix_tablets_status", "status", "last_seen_at"),
)


def _tablet() -> Column[int]:
    return Column("tablet", BigKey, ForeignKey("tablets.id", ondelete="CASCADE"), nullable=False)


locations = Table(
    "tablet_locations",
    metadata,
    Column("id", BigKey, primary_key=True),
    _tablet(),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("accuracy_m", Double),
    Column("speed", Double),
    Column("heading", Double),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("ix_tablet_locations_tablet", "tablet", "id"),
    Index("ix_tablet_locations_received_at", "received_at"),
)

metrics = Table(
    "tablet_metrics",
    metadata,
    Column("id", BigKey, primary_key=True),
    _tablet(),
    Column("cpu", Double),
    Column("memory_total", BigInteger),
    Column("memory_used", BigInteger),
    Column("memory_available", BigInteger),
    Column("storage_total", BigInteger),
    Column("storage_used", BigInteger),
    Column("storage_available", BigInteger),
    Column("network_type", String(64)),
    Column("foreground_app", String(256)),
    Column("at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("ix_tablet_metrics_tablet", "tablet", "id"),
    Index("ix_tablet_metrics_received_at", "received_at"),
)

# What a tablet told, what it was told, and what people did with it.
actions = Table(
    "tablet_actions",
    metadata,
    Column("id", BigKey, primary_key=True),
    _tablet(),
    Column("kind", String(16), nullable=False),  # event, command, checkout, maintenance
    Column("action", String(64), nullable=False),
    Column("message", String(1000)),
    Column("params", JSON),
    Column("command_id", String(32)),
    Column("actor", String(128), nullable=False),
    Column("at", Instant, nullable=False),  # by the tablet's clock, where it told the time
    Column("received_at", Instant, nullable=False),
    Index("ix_tablet_actions_tablet", "tablet", "id"),
    Index("ix_tablet_actions_command_id", "command_id"),
)

checkouts = Table(
    "tablet_checkouts",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("number", String(32), nullable=False),
    Column("company", String(200), nullable=False),
    Column("borrower_id", String(128), nullable=False),
    Column("charger", JSON),  # how many, whether, or which: as it was said
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("usage_notes", String(2000)),
    Column("status", String(16), nullable=False),
    Column("cancel_reason", String(1000)),
    Column("created_by", String(128), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("closed_at", Instant),
    UniqueConstraint("organization_id", "number"),
    Index("ix_tablet_checkouts_organization_id", "organization_id", "status", "id"),
)

# Who lent what stays known when the tablet is gone: its code is kept beside its key.
items = Table(
    "tablet_checkout_items",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column(
        "checkout", BigKey, ForeignKey("tablet_checkouts.id", ondelete="CASCADE"), nullable=False
    ),
    Column("tablet", BigKey, ForeignKey("tablets.id", ondelete="SET NULL")),
    Column("code", String(128), nullable=False),
    Column("returned_at", Instant),
    Column("returned_by", String(128)),
    Column("problem", String(1000)),
    Column("solution", String(1000)),
    Column("maintenance_status", String(16)),
    Column("return_notes", String(2000)),
    Index("ix_tablet_checkout_items_checkout", "checkout"),
    Index("ix_tablet_checkout_items_tablet", "tablet", "id"),
)

audit = Table(
    "tablet_audit",
    metadata,
    Column("id", BigKey, primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("username", String(128)),
    Column("action", String(64), nullable=False),
    Column("subject", String(256)),
    Column("detail", JSON),
    Column("at", Instant, nullable=False),
    Index("ix_tablet_audit_organization_id", "organization_id", "id"),
)
