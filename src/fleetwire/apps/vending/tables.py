"""The app's tables. Money is an integer of the smallest unit; instants are microseconds UTC.

`machines.id` is the machine's own name, as it stands in its topics. Of a slot's `current_stock`
units, `reserved_stock` belong to open orders; what may be sold is the difference. `dispense_logs`
has one row for each attempt to dispense an item, open until `completed_at` is there.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
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

from fleetwire.kit.tables import BigKey, Instant, new_metadata

metadata = new_metadata()

machines = Table(
    "machines",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("organization_id", BigKey, nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("location", String(200), nullable=False),
    Column("status", String(16), nullable=False),  # ONLINE, OFFLINE, MAINTENANCE
    Column("status_reason", String(200), nullable=False),
    Column("status_since_at", Instant, nullable=False),
    Column("connected", Boolean, nullable=False),  # a session of its own credential is there
    Column("spoken_by", String(256)),  # the client id that spoke as this machine last
    Column("door", String(8)),
    Column("rssi", Integer),
    Column("fw", String(64)),
    Column("temperature", Float),
    Column("humidity", Float),
    Column("stock_source", String(8), nullable=False),  # count, level
    Column("desired_config", JSON, nullable=False),
    Column("reported_config", JSON, nullable=False),
    Column("last_seen_at", Instant),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

products = Table(
    "products",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("organization_id", BigKey, nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("description", Text, nullable=False),
    Column("price", BigKey, nullable=False),
    Column("image_url", String(500)),
    Column("category", String(64)),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("machine_id", ForeignKey("machines.id", ondelete="CASCADE"), nullable=False),
    Column("slot_number", Integer, nullable=False),
    Column("product_id", ForeignKey("products.id", ondelete="SET NULL"), index=True),
    Column("capacity", Integer, nullable=False),
    Column("current_stock", Integer, nullable=False),
    Column("reserved_stock", Integer, nullable=False),
    Column("price_override", BigKey),
    Column("motor_duration_ms", Integer, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("level", String(8)),  # what the machine says: FULL, HIGH, MEDIUM, LOW, EMPTY
    Column("level_at", Instant),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("machine_id", "slot_number"),
    CheckConstraint("current_stock >= 0", name="stock_is_not_negative"),
    CheckConstraint("reserved_stock >= 0", name="reserved_is_not_negative"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("organization_id", BigKey, nullable=False),
    Column("machine_id", ForeignKey("machines.id"), nullable=False),
    Column("status", String(20), nullable=False),
    Column("total_amount", BigKey, nullable=False),
    Column("customer_phone", String(32)),
    Column("payment_method", String(16), nullable=False),
    Column("payment_url", Text),
    Column("payment_token", String(128)),
    Column("qr_string", Text),
    Column("failure_reason", String(200)),
    Column("refund_required", Boolean, nullable=False),
    Column("refund_amount", BigKey, nullable=False),
    Column("refunded_at", Instant),
    Column("paid_at", Instant),
    Column("dispense_due_at", Instant),  # when the house triggers it, None = somebody else does
    Column("dispensed_at", Instant),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_orders_machine_id_created_at", "machine_id", "created_at"),
    Index("ix_orders_status_expires_at", "status", "expires_at"),
    Index("ix_orders_organization_id_paid_at", "organization_id", "paid_at"),
)

order_items = Table(
    "order_items",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("order_id", ForeignKey("orders.id", ondelete="CASCADE"), nullable=False),
    Column("item_index", Integer, nullable=False),  # from 1
    Column("slot_id", BigKey, nullable=False),
    Column("slot_number", Integer, nullable=False),
    Column("product_id", BigKey),
    Column("product_name", String(128), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigKey, nullable=False),
    Column("total_price", BigKey, nullable=False),
    # PENDING, PENDING_DISPENSE, DISPENSING, COMPLETED, PARTIAL, FAILED
    Column("dispense_status", String(20), nullable=False),
    Column("dispensed_quantity", Integer, nullable=False),  # units that came out
    Column("reserved_quantity", Integer, nullable=False),  # its part of its slot's reserved_stock
    UniqueConstraint("order_id", "item_index"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("order_id", ForeignKey("orders.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("gateway_transaction_id", String(128), nullable=False),
    Column("gateway_name", String(32), nullable=False),
    Column("payment_type", String(32)),
    Column("amount", BigKey, nullable=False),
    Column("status", String(16), nullable=False),  # PENDING, PAID, FAILED, REFUNDED
    Column("raw_response", Text, nullable=False),
    Column("processed_at", Instant),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("gateway_name", "gateway_transaction_id"),
)

dispense_logs = Table(
    "dispense_logs",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("order_id", ForeignKey("orders.id", ondelete="CASCADE"), nullable=False),
    Column("item_id", ForeignKey("order_items.id", ondelete="CASCADE"), nullable=False),
    Column("machine_id", String(128), nullable=False),
    Column("slot_number", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),  # units that the command asks for
    Column("command_id", String(32), nullable=False, unique=True),
    Column("triggered_by", String(128), nullable=False),
    Column("timeout_ms", Integer, nullable=False),
    Column("deadline_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("command_sent_at", Instant),  # None = it waits for the machine
    Column("started_at", Instant),
    Column("completed_at", Instant),  # None = the attempt is open
    Column("duration_ms", Integer),
    Column("success", Boolean),
    Column("drop_detected", Boolean),
    Column("error_message", String(200)),
    Column("retry_count", Integer, nullable=False),
    # When the machine's own word, or a person's, came; a timed-out attempt may get it later.
    Column("result_at", Instant),
    Column("dispensed_quantity", Integer),  # units that came out, None = nobody has said it
    # Whether the slot's count knows what came out: by the result, or since somebody has counted.
    Column("stock_taken", Boolean, nullable=False),
    Index("ix_dispense_logs_order_id", "order_id"),
    Index("ix_dispense_logs_machine_id_created_at", "machine_id", "created_at"),
    Index("ix_dispense_logs_completed_at_deadline_at", "completed_at", "deadline_at"),
)

stock_logs = Table(
    "stock_logs",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("machine_id", String(128), nullable=False),
    Column("slot_id", BigKey, nullable=False),
    Column("slot_number", Integer, nullable=False),
    Column("order_id", String(40)),
    # RESTOCK, MANUAL_ADJUST, AUDIT, REMOVE, DISPENSE, LEVEL
    Column("change_type", String(16), nullable=False),
    Column("quantity_before", Integer, nullable=False),
    Column("quantity_after", Integer, nullable=False),
    Column("quantity_change", Integer, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("performed_by", String(128), nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_stock_logs_machine_id_created_at", "machine_id", "created_at"),
    Index("ix_stock_logs_slot_id_created_at", "slot_id", "created_at"),
)

machine_telemetry = Table(
    "machine_telemetry",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("machine_id", String(128), nullable=False),
    Column("at", Instant, nullable=False),
    Column("temperature", Float),
    Column("humidity", Float),
    Column("door", String(8)),
    Column("rssi", Integer),
    Column("fw", String(64)),
    Column("data", JSON, nullable=False),  # the message as sent
    Column("received_at", Instant, nullable=False),
    Index("ix_machine_telemetry_machine_id_at", "machine_id", "at"),
)

temperature_logs = Table(
    "temperature_logs",
    metadata,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("machine_id", String(128), nullable=False),
    Column("value", Float, nullable=False),  # °C
    Column("humidity", Float),  # %, None = not said
    Column("recorded_at", Instant, nullable=False),
    Index("ix_temperature_logs_machine_id_recorded_at", "machine_id", "recorded_at"),
)
