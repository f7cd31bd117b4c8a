"""The farm's tables. `tenant_id` is the house's organisation, whose people may see the row.

A farm's organisations are parts of it: a cooperative has one account here and many farms.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from fleetwire.kit import BigKey, Instant, new_metadata

metadata = new_metadata()


def _own(name: str) -> list[Column[int]]:
    """Return the columns that every table of people's making has."""
    return [
        Column("id", BigKey, primary_key=True, autoincrement=True),
        Column("tenant_id", BigKey, nullable=False, index=name != "farm_data_streams"),
    ]


def _times() -> list[Column[int]]:
    return [
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
    ]


def _reported() -> list[Column[object]]:
    """Return what a sensor or device has last said of itself."""
    return [
        Column("reported_status", String(32)),
        Column("reported", JSON, nullable=False),
        Column("reported_at", Instant),
    ]


def _of(table: str, *, cascade: bool = True) -> ForeignKey:
    return ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else "SET NULL")


organizations = Table(
    "farm_organizations",
    metadata,
    *_own("farm_organizations"),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("status", String(16), nullable=False),  # active, inactive
    *_times(),
    UniqueConstraint("tenant_id", "name"),
)

areas = Table(
    "farm_areas",
    metadata,
    *_own("farm_areas"),
    Column("organization_id", _of("farm_organizations"), nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("area_type", String(64), nullable=False),
    *_times(),
    UniqueConstraint("organization_id", "name"),
)

sensors = Table(
    "farm_sensors",
    metadata,
    *_own("farm_sensors"),
    Column("organization_id", _of("farm_organizations"), nullable=False, index=True),
    Column("area_id", _of("farm_areas", cascade=False), index=True),
    Column("uuid", String(64), nullable=False, unique=True),  # the platform's device_id
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("sensor_type", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    # It registered itself by a message: variables that it names are made.
    Column("is_enrolled", Boolean, nullable=False),
    *_reported(),
    *_times(),
)

devices = Table(
    "farm_devices",
    metadata,
    *_own("farm_devices"),
    Column("organization_id", _of("farm_organizations"), nullable=False, index=True),
    Column("area_id", _of("farm_areas", cascade=False), index=True),
    Column("uuid", String(64), nullable=False, unique=True),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_type", String(16), nullable=False),
    Column("control_type", String(16), nullable=False),
    Column("is_critical", Boolean, nullable=False),
    Column("metadata", JSON, nullable=False),
    *_reported(),
    *_times(),
)

telemetry = Table(
    "farm_telemetry",
    metadata,
    *_own("farm_telemetry"),
    Column("sensor_id", _of("farm_sensors"), nullable=False),
    Column("variable_name", String(128), nullable=False),
    Column("datatype", String(16), nullable=False),
    Column("unit", String(32), nullable=False),
    *_times(),
    UniqueConstraint("sensor_id", "variable_name"),
)

data_streams = Table(
    "farm_data_streams",
    metadata,
    *_own("farm_data_streams"),
    Column("telemetry_data_id", _of("farm_telemetry"), nullable=False),
    Column("value", JSON, nullable=False),  # text, number or truth value, as sent
    Column("number", Float),  # the same as a number, if it is one
    Column("received_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_farm_data_streams_telemetry_data_id_received_at", "telemetry_data_id", "received_at"),
)

device_states = Table(
    "farm_device_states",
    metadata,
    *_own("farm_device_states"),
    Column("device_id", _of("farm_devices"), nullable=False),
    Column("state_name", String(64), nullable=False),
    Column("data_type", String(16), nullable=False),
    Column("default_value", String(256)),
    Column("allowed_values", Text),  # a JSON list; NULL = any
    *_times(),
    UniqueConstraint("device_id", "state_name"),
)

state_instances = Table(
    "farm_state_instances",
    metadata,
    *_own("farm_state_instances"),
    Column("device_state_id", _of("farm_device_states"), nullable=False, index=True),
    Column("value", String(256), nullable=False),
    Column("from_at", Instant, nullable=False),
    Column("to_at", Instant),  # None = it is so now
    Column("initiated_by", String(16), nullable=False),
    Column("initiator_id", String(128), nullable=False),
    Column("command_id", String(32), nullable=False),
)

# What a chain says is the platform's; here is whose it is, and what its next node is called.
rule_chains = Table(
    "farm_rule_chains",
    metadata,
    *_own("farm_rule_chains"),
    Column("organization_id", _of("farm_organizations"), nullable=False, index=True),
    Column("next_node", Integer, nullable=False),
    *_times(),
)

tokens = Table(
    "farm_tokens",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=False),  # of the platform's credential
    Column("tenant_id", BigKey, nullable=False, index=True),
    Column("uuid", String(64), nullable=False, index=True),
    Column("sensor_id", _of("farm_sensors")),
    Column("device_id", _of("farm_devices")),
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
)
