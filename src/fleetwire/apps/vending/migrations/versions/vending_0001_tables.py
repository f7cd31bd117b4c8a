"""Machines, products, slots, orders and what belongs to them.

Revision ID: vending_0001
"""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Text,
    UniqueConstraint,
)

revision = "vending_0001"
down_revision = None
branch_labels = ("vending",)
depends_on = "0001_first"

# SQLite makes a table's key its rowid only for the exact type INTEGER.
_KEY = BigInteger().with_variant(Integer, "sqlite")

_TABLES = (
    "machines",
    "products",
    "slots",
    "orders",
    "order_items",
    "payments",
    "dispense_logs",
    "stock_logs",
    "machine_telemetry",
    "temperature_logs",
)


def upgrade() -> None:
    op.create_table(
        "machines",
        Column("id", String(128), primary_key=True),
        Column("organization_id", _KEY, nullable=False),
        Column("name", String(128), nullable=False),
        Column("location", String(200), nullable=False),
        Column("status", String(16), nullable=False),
        Column("status_reason", String(200), nullable=False),
        Column("status_since_at", BigInteger, nullable=False),
        Column("connected", Boolean, nullable=False),
        Column("spoken_by", String(256)),
        Column("door", String(8)),
        Column("rssi", Integer),
        Column("fw", String(64)),
        Column("temperature", Float),
        Column("humidity", Float),
        Column("stock_source", String(8), nullable=False),
        Column("desired_config", JSON, nullable=False),
        Column("reported_config", JSON, nullable=False),
        Column("last_seen_at", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "products",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("organization_id", _KEY, nullable=False),
        Column("name", String(128), nullable=False),
        Column("description", Text, nullable=False),
        Column("price", _KEY, nullable=False),
        Column("image_url", String(500)),
        Column("category", String(64)),
        Column("is_active", Boolean, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "slots",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column(
            "machine_id",
            String(128),
            ForeignKey("machines.id", ondelete="CASCADE", name="fk_slots_machine_id"),
            nullable=False,
        ),
        Column("slot_number", Integer, nullable=False),
        Column(
            "product_id",
            _KEY,
            ForeignKey("products.id", ondelete="SET NULL", name="fk_slots_product_id"),
        ),
        Column("capacity", Integer, nullable=False),
        Column("current_stock", Integer, nullable=False),
        Column("reserved_stock", Integer, nullable=False),
        Column("price_override", _KEY),
        Column("motor_duration_ms", Integer, nullable=False),
        Column("is_active", Boolean, nullable=False),
        Column("level", String(8)),
        Column("level_at", BigInteger),
        Column("updated_at", BigInteger, nullable=False),
        UniqueConstraint("machine_id", "slot_number", name="uq_slots_machine_id_slot_number"),
        CheckConstraint("current_stock >= 0", name="stock_is_not_negative"),
        CheckConstraint("reserved_stock >= 0", name="reserved_is_not_negative"),
    )
    op.create_table(
        "orders",
        Column("id", String(40), primary_key=True),
        Column("organization_id", _KEY, nullable=False),
        Column(
            "machine_id",
            String(128),
            ForeignKey("machines.id", name="fk_orders_machine_id"),
            nullable=False,
        ),
        Column("status", String(20), nullable=False),
        Column("total_amount", _KEY, nullable=False),
        Column("customer_phone", String(32)),
        Column("payment_method", String(16), nullable=False),
        Column("payment_url", Text),
        Column("payment_token", String(128)),
        Column("qr_string", Text),
        Column("failure_reason", String(200)),
        Column("refund_required", Boolean, nullable=False),
        Column("refund_amount", _KEY, nullable=False),
        Column("refunded_at", BigInteger),
        Column("paid_at", BigInteger),
        Column("dispense_due_at", BigInteger),
        Column("dispensed_at", BigInteger),
        Column("expires_at", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
    )
    op.create_table(
        "order_items",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column(
            "order_id",
            String(40),
            ForeignKey("orders.id", ondelete="CASCADE", name="fk_order_items_order_id"),
            nullable=False,
        ),
        Column("item_index", Integer, nullable=False),
        Column("slot_id", _KEY, nullable=False),
        Column("slot_number", Integer, nullable=False),
        Column("product_id", _KEY),
        Column("product_name", String(128), nullable=False),
        Column("quantity", Integer, nullable=False),
        Column("unit_price", _KEY, nullable=False),
        Column("total_price", _KEY, nullable=False),
        Column("dispense_status", String(20), nullable=False),
        Column("is_reserved", Boolean, nullable=False),
        UniqueConstraint("order_id", "item_index", name="uq_order_items_order_id_item_index"),
    )
    op.create_table(
        "payments",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column(
            "order_id",
            String(40),
            ForeignKey("orders.id", ondelete="CASCADE", name="fk_payments_order_id"),
            nullable=False,
        ),
        Column("gateway_transaction_id", String(128), nullable=False),
        Column("gateway_name", String(32), nullable=False),
        Column("payment_type", String(32)),
        Column("amount", _KEY, nullable=False),
        Column("status", String(16), nullable=False),
        Column("raw_response", Text, nullable=False),
        Column("processed_at", BigInteger),
        Column("created_at", BigInteger, nullable=False),
        UniqueConstraint(
            "gateway_name",
            "gateway_transaction_id",
            name="uq_payments_gateway_name_gateway_transaction_id",
        ),
    )
    op.create_table(
        "dispense_logs",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column(
            "order_id",
            String(40),
            ForeignKey("orders.id", ondelete="CASCADE", name="fk_dispense_logs_order_id"),
            nullable=False,
        ),
        Column(
            "item_id",
            _KEY,
            ForeignKey("order_items.id", ondelete="CASCADE", name="fk_dispense_logs_item_id"),
            nullable=False,
        ),
        Column("machine_id", String(128), nullable=False),
        Column("slot_number", Integer, nullable=False),
        Column("command_id", String(32), nullable=False),
        Column("triggered_by", String(128), nullable=False),
        Column("timeout_ms", Integer, nullable=False),
        Column("deadline_at", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("command_sent_at", BigInteger),
        Column("started_at", BigInteger),
        Column("completed_at", BigInteger),
        Column("duration_ms", Integer),
        Column("success", Boolean),
        Column("drop_detected", Boolean),
        Column("error_message", String(200)),
        Column("retry_count", Integer, nullable=False),
        Column("result_at", BigInteger),
        Column("stock_taken", Boolean, nullable=False),
        UniqueConstraint("command_id", name="uq_dispense_logs_command_id"),
    )
    op.create_table(
        "stock_logs",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("machine_id", String(128), nullable=False),
        Column("slot_id", _KEY, nullable=False),
        Column("slot_number", Integer, nullable=False),
        Column("order_id", String(40)),
        Column("change_type", String(16), nullable=False),
        Column("quantity_before", Integer, nullable=False),
        Column("quantity_after", Integer, nullable=False),
        Column("quantity_change", Integer, nullable=False),
        Column("reason", String(200), nullable=False),
        Column("performed_by", String(128), nullable=False),
        Column("created_at", BigInteger, nullable=False),
    )
    op.create_table(
        "machine_telemetry",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("machine_id", String(128), nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("temperature", Float),
        Column("humidity", Float),
        Column("door", String(8)),
        Column("rssi", Integer),
        Column("fw", String(64)),
        Column("data", JSON, nullable=False),
        Column("received_at", BigInteger, nullable=False),
    )
    op.create_table(
        "temperature_logs",
        Column("id", _KEY, primary_key=True, autoincrement=True),
        Column("machine_id", String(128), nullable=False),
        Column("value", Float, nullable=False),
        Column("humidity", Float),
        Column("recorded_at", BigInteger, nullable=False),
    )
    op.create_index("ix_machines_organization_id", "machines", ["organization_id"])
    op.create_index("ix_products_organization_id", "products", ["organization_id"])
    op.create_index("ix_slots_product_id", "slots", ["product_id"])
    op.create_index("ix_orders_machine_id_created_at", "orders", ["machine_id", "created_at"])
    op.create_index("ix_orders_status_expires_at", "orders", ["status", "expires_at"])
    op.create_index("ix_orders_organization_id_paid_at", "orders", ["organization_id", "paid_at"])
    op.create_index("ix_payments_order_id", "payments", ["order_id"])
    op.create_index("ix_dispense_logs_order_id", "dispense_logs", ["order_id"])
    op.create_index(
        "ix_dispense_logs_machine_id_created_at", "dispense_logs", ["machine_id", "created_at"]
    )
    op.create_index(
        "ix_dispense_logs_completed_at_deadline_at",
        "dispense_logs",
        ["completed_at", "deadline_at"],
    )
    op.create_index(
        "ix_stock_logs_machine_id_created_at", "stock_logs", ["machine_id", "created_at"]
    )
    op.create_index("ix_stock_logs_slot_id_created_at", "stock_logs", ["slot_id", "created_at"])
    op.create_index("ix_machine_telemetry_machine_id_at", "machine_telemetry", ["machine_id", "at"])
    op.create_index(
        "ix_temperature_logs_machine_id_recorded_at",
        "temperature_logs",
        ["machine_id", "recorded_at"],
    )


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)
