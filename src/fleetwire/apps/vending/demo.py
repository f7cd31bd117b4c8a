"""Demonstration data: machine VM01 with six slots, and the paid order `test-order-123`."""

from typing import Any, Final

from sqlalchemy import insert, select

from fleetwire.apps.vending import machines, products, stock
from fleetwire.apps.vending.states import PAID
from fleetwire.apps.vending.tables import order_items, orders, products as products_table, slots
from fleetwire.kit import Caller, Clock, Devices, Store, Transaction

MACHINE: Final = "VM01"
ORDER: Final = "test-order-123"
CAPACITY: Final = 10
MOTOR_MS: Final = 2150
_YEAR_US: Final = 365 * 86_400_000_000
_PRODUCTS: Final = (
    ("Mineral water 600 ml", 5000, "drinks"),
    ("Iced tea", 7000, "drinks"),
    ("Coffee in a can", 9000, "drinks"),
    ("Potato chips", 10_000, "snacks"),
    ("Chocolate bar", 12_000, "snacks"),
    ("Biscuits", 8000, "snacks"),
)


async def add_demo(caller: Caller, devices: Devices, store: Store, clock: Clock) -> None:
    """Make what is not there yet."""
    if devices.find(machines.APP, MACHINE) is None:
        await devices.register(
            caller, machines.APP, MACHINE, "vending_machine", name="Demonstration machine"
        )
    device = devices.find(machines.APP, MACHINE)
    assert device is not None, "it was registered just now"

    def work(tx: Transaction) -> None:
        at = clock.now()
        machines.ensure(tx, device, at, name="Demonstration machine", location="Here")
        if tx.execute(select(orders.c.id).where(orders.c.id == ORDER)).scalar() is not None:
            return
        for number, (name, price, category) in enumerate(_PRODUCTS, start=1):
            _add_slot(tx, caller.organization_id, number, name, price, category, at)
        _add_order(tx, caller.organization_id, at)

    await store.write(work)


def _add_slot(
    tx: Transaction,
    organization_id: int,
    number: int,
    name: str,
    price: int,
    category: str,
    at: int,
) -> None:
    values: dict[str, Any] = {
        "name": name,
        "description": "",
        "price": price,
        "category": category,
        "is_active": True,
    }
    product_id = products.create(tx, organization_id, values, at)
    tx.execute(
        insert(slots).values(
            machine_id=MACHINE,
            slot_number=number,
            product_id=product_id,
            capacity=CAPACITY,
            current_stock=CAPACITY,
            reserved_stock=0,
            motor_duration_ms=MOTOR_MS,
            is_active=True,
            updated_at=at,
        )
    )


def _add_order(tx: Transaction, organization_id: int, at: int) -> None:
    slot = tx.execute(
        select(slots, products_table.c.name, products_table.c.price)
        .join(products_table, products_table.c.id == slots.c.product_id)
        .where(slots.c.machine_id == MACHINE, slots.c.slot_number == 1)
    ).one()
    tx.execute(
        insert(orders).values(
            id=ORDER,
            organization_id=organization_id,
            machine_id=MACHINE,
            status=PAID,
            total_amount=slot.price,
            payment_method="qris",
            refund_required=False,
            refund_amount=0,
            paid_at=at,
            expires_at=at + _YEAR_US,
            created_at=at,
            updated_at=at,
        )
    )
    stock.reserve(tx, slot.id, 1, at)
    tx.execute(
        insert(order_items).values(
            order_id=ORDER,
            item_index=1,
            slot_id=slot.id,
            slot_number=1,
            product_id=slot.product_id,
            product_name=slot.name,
            quantity=1,
            unit_price=slot.price,
            total_price=slot.price,
            dispense_status="PENDING",
            dispensed_quantity=0,
            reserved_quantity=1,
        )
    )
