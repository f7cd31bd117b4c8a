"""How many units of an item came out, and how many are set aside for it.

Revision ID: vending_0002
"""

from alembic import op
from sqlalchemy import Boolean, Column, Integer, text

revision = "vending_0002"
down_revision = "vending_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("dispensed_quantity", "reserved_quantity"):
        op.add_column("order_items", Column(name, Integer, nullable=False, server_default="0"))
    op.add_column("dispense_logs", Column("quantity", Integer, nullable=False, server_default="1"))
    op.add_column("dispense_logs", Column("dispensed_quantity", Integer))
    for statement in (
        "UPDATE order_items SET reserved_quantity = quantity WHERE is_reserved",
        "UPDATE order_items SET dispensed_quantity = quantity WHERE dispense_status = 'COMPLETED'",
        "UPDATE dispense_logs SET quantity = "
        "(SELECT quantity FROM order_items WHERE order_items.id = dispense_logs.item_id)",
        "UPDATE dispense_logs SET dispensed_quantity = CASE WHEN success THEN quantity ELSE 0 END "
        "WHERE result_at IS NOT NULL",
        # What is reserved no more without a result has been counted.
        "UPDATE dispense_logs SET stock_taken = true "
        "WHERE command_sent_at IS NOT NULL AND completed_at IS NOT NULL AND item_id IN "
        "(SELECT id FROM order_items WHERE reserved_quantity = 0)",
    ):
        op.execute(text(statement))
    op.drop_column("order_items", "is_reserved")


def downgrade() -> None:
    op.add_column(
        "order_items", Column("is_reserved", Boolean, nullable=False, server_default=text("false"))
    )
    op.execute(text("UPDATE order_items SET is_reserved = (reserved_quantity > 0)"))
    for name in ("quantity", "dispensed_quantity"):
        op.drop_column("dispense_logs", name)
    for name in ("dispensed_quantity", "reserved_quantity"):
        op.drop_column("order_items", name)
