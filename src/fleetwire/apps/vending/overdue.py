"""Overdue: what the time has come for, and what an end of the process left undone."""

from typing import Final

from sqlalchemy import select

from fleetwire.apps.vending import dispensing, orders, states
from fleetwire.apps.vending.machines import APP
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.tables import orders as orders_table
from fleetwire.kit import Caller, Device, Effect, NotFoundError, Transaction

PORTION: Final = 200  # taken up at a time


async def tick(shop: Shop) -> None:
    """Do what the time has come for."""
    at = shop.terms.now()
    for order_id, _ in await shop.store.read(
        lambda connection: orders.overdue(connection, at, PORTION)
    ):
        await shop.close(order_id, states.EXPIRED, "not paid in time")
    await _trigger_due(shop, at)
    for attempt in await shop.store.read(
        lambda connection: dispensing.due(connection, at, PORTION)
    ):
        device = shop.devices.find(APP, attempt.machine_id)
        if attempt.command_sent_at is None and device is not None:
            await _look_up(shop, device, attempt.command_id)
        await _expire(shop, device, attempt.id)


async def _expire(shop: Shop, device: Device | None, attempt: int) -> None:
    await shop.store.apply(lambda tx: dispensing.expire(tx, device, attempt, shop.terms.now()))


async def catch_up(shop: Shop) -> None:
    """Note what was sent shortly before the process before this one ended."""
    for attempt in await shop.store.read(dispensing.unsent):
        device = shop.devices.find(APP, attempt.machine_id)
        if device is not None:
            await _look_up(shop, device, attempt.command_id)


async def _look_up(shop: Shop, device: Device, command_id: str) -> None:
    """Ask the ledger whether a command was sent that nobody told us of."""
    try:
        record = await shop.commands.get(Caller.system(device.organization_id), command_id)
    except NotFoundError:
        return
    if record.attempts:
        sent_at = next(
            (event.at for event in record.timeline if event.state == "sent"), record.created_at
        )
        await shop.note_sent(device, command_id, sent_at)


async def _trigger_due(shop: Shop, at: int) -> None:
    rows = await shop.store.read(
        lambda connection: connection.execute(
            select(orders_table.c.id, orders_table.c.paid_at, orders_table.c.machine_id)
            .where(orders_table.c.status == states.PAID, orders_table.c.dispense_due_at <= at)
            .order_by(orders_table.c.dispense_due_at)
            .limit(PORTION)
        ).all()
    )
    for row in rows:
        if row.paid_at + round(shop.terms.dispense_wait_s * 1e6) <= at:
            await _give_up(shop, row.id)
        else:
            await shop.trigger_paid(row.id, "timer")


async def _give_up(shop: Shop, order_id: str) -> None:
    """A paid order whose command could not even be stored in time has failed."""

    def work(tx: Transaction) -> list[Effect]:
        order = orders.find(tx.connection, order_id)
        if order.status != states.PAID:
            return []
        orders.release_items(tx, order_id, shop.terms.now())
        device = shop.devices.find(APP, order.machine_id)
        return [
            *(
                orders.move(
                    tx,
                    device,
                    order_id,
                    states.FAILED,
                    shop.terms.now(),
                    failure_reason=dispensing.TIMEOUT,
                    dispense_due_at=None,
                    refund_required=True,
                    refund_amount=order.total_amount,
                )
                or []
            )
        ]

    await shop.store.apply(work)
