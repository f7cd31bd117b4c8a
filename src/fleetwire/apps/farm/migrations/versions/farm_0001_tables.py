"""Organisations, areas, sensors, devices, states, values, and the tokens of all of them.

Revision ID: farm_0001
"""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)

revision = "farm_0001"
down_revision = None
branch_labels = ("farm",)
depends_on = "0001_first"

# SQLite makes a table's key its rowid only for the exact type INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")

_TABLES = (
    "farm_organizations",
    "farm_areas",
    "farm_sensors",
    "farm_devices",
    "farm_telemetry",
    "farm_data_streams",
    "farm_device_states",
    "farm_state_instances",
    "farm_rule_chains",
    "farm_tokens",
)


def upgrade() -> None:
    op.create_table(
        "farm_organizations",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column("name", String(128), nullable=False),
        Column("description", Text, nullable=False),
        Column("status", String(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint("tenant_id", "name", name="uq_farm_organizations_tenant_id_name"),
    )
    op.create_table(
        "farm_areas",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "organization_id",
            _KEY,
            ForeignKey(
                "farm_organizations.id", ondelete="CASCADE", name="fk_farm_areas_organization_id"
            ),
            nullable=False,
            index=True,
        ),
        Column("name", String(128), nullable=False),
        Column("description", Text, nullable=False),
        Column("area_type", String(64), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint("organization_id", "name", name="uq_farm_areas_organization_id_name"),
    )
    op.create_table(
        "farm_sensors",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "organization_id",
            _KEY,
            ForeignKey(
                "farm_organizations.id", ondelete="CASCADE", name="fk_farm_sensors_organization_id"
            ),
            nullable=False,
            index=True,
        ),
        Column(
            "area_id",
            _KEY,
            ForeignKey("farm_areas.id", ondelete="SET NULL", name="fk_farm_sensors_area_id"),
            index=True,
        ),
        Column("uuid", String(64), nullable=False),
        UniqueConstraint("uuid", name="uq_farm_sensors_uuid"),
        Column("name", String(128), nullable=False),
        Column("description", Text, nullable=False),
        Column("sensor_type", String(64), nullable=False),
        Column("status", String(16), nullable=False),
        Column("is_enrolled", Boolean, nullable=False),
        Column("reported_status", String(32)),
        Column("reported", JSON, nullable=False),
        Column("reported_at", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "farm_devices",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "organization_id",
            _KEY,
            ForeignKey(
                "farm_organizations.id", ondelete="CASCADE", name="fk_farm_devices_organization_id"
            ),
            nullable=False,
            index=True,
        ),
        Column(
            "area_id",
            _KEY,
            ForeignKey("farm_areas.id", ondelete="SET NULL", name="fk_farm_devices_area_id"),
            index=True,
        ),
        Column("uuid", String(64), nullable=False),
        UniqueConstraint("uuid", name="uq_farm_devices_uuid"),
        Column("name", String(128), nullable=False),
        Column("description", Text, nullable=False),
        Column("status", String(16), nullable=False),
        Column("device_type", String(16), nullable=False),
        Column("control_type", String(16), nullable=False),
        Column("is_critical", Boolean, nullable=False),
        Column("metadata", JSON, nullable=False),
        Column("reported_status", String(32)),
        Column("reported", JSON, nullable=False),
        Column("reported_at", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "farm_telemetry",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "sensor_id",
            _KEY,
            ForeignKey("farm_sensors.id", ondelete="CASCADE", name="fk_farm_telemetry_sensor_id"),
            nullable=False,
        ),
        Column("variable_name", String(128), nullable=False),
        Column("datatype", String(16), nullable=False),
        Column("unit", String(32), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint(
            "sensor_id", "variable_name", name="uq_farm_telemetry_sensor_id_variable_name"
        ),
    )
    op.create_table(
        "farm_data_streams",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False),
        Column(
            "telemetry_data_id",
            _KEY,
            ForeignKey(
                "farm_telemetry.id",
                ondelete="CASCADE",
                name="fk_farm_data_streams_telemetry_data_id",
            ),
            nullable=False,
        ),
        Column("value", JSON, nullable=False),
        Column("number", Float),
        Column("received_at", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Index(
            "ix_farm_data_streams_telemetry_data_id_received_at", "telemetry_data_id", "received_at"
        ),
    )
    op.create_table(
        "farm_device_states",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "device_id",
            _KEY,
            ForeignKey(
                "farm_devices.id", ondelete="CASCADE", name="fk_farm_device_states_device_id"
            ),
            nullable=False,
        ),
        Column("state_name", String(64), nullable=False),
        Column("data_type", String(16), nullable=False),
        Column("default_value", String(256)),
        Column("allowed_values", Text),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint(
            "device_id", "state_name", name="uq_farm_device_states_device_id_state_name"
        ),
    )
    op.create_table(
        "farm_state_instances",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "device_state_id",
            _KEY,
            ForeignKey(
                "farm_device_states.id",
                ondelete="CASCADE",
                name="fk_farm_state_instances_device_state_id",
            ),
            nullable=False,
            index=True,
        ),
        Column("value", String(256), nullable=False),
        Column("from_at", BigInteger, nullable=False),
        Column("to_at", BigInteger),
        Column("initiated_by", String(16), nullable=False),
        Column("initiator_id", String(128), nullable=False),
        Column("command_id", String(32), nullable=False),
    )
    op.create_table(
        "farm_rule_chains",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column(
            "organization_id",
            _KEY,
            ForeignKey(
                "farm_organizations.id",
                ondelete="CASCADE",
                name="fk_farm_rule_chains_organization_id",
            ),
            nullable=False,
            index=True,
        ),
        Column("next_node", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "farm_tokens",
        Column("id", _KEY, primary_key=True, autoincrement=False),
        Column("tenant_id", _KEY, nullable=False, index=True),
        Column("uuid", String(64), nullable=False, index=True),
        Column(
            "sensor_id",
            _KEY,
            ForeignKey("farm_sensors.id", ondelete="CASCADE", name="fk_farm_tokens_sensor_id"),
        ),
        Column(
            "device_id",
            _KEY,
            ForeignKey("farm_devices.id", ondelete="CASCADE", name="fk_farm_tokens_device_id"),
        ),
        Column("expires_at", BigInteger),
        Column("created_at", BigInteger, nullable=False),
    )


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)
