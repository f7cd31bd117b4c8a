"""Shop: the steps of an order that need more than the tables: the gateway, the ledger, the machine.

Whatever is decided is decided in one transaction (`Store.apply`); what stands here only brings the
parts together, and may be cut off anywhere: the timer finds what was left undone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from msgspec import structs
from sqlalchemy import Connection, Row, select, update

from fleetwire.apps.vending import attempts, dispensing, orders, payments, states
from fleetwire.apps.vending.errors import GatewayError, RefusedError, UnavailableError
from fleetwire.apps.vending.gateways import Charge, Gateway, Notification
from fleetwire.apps.vending.machines import APP
from fleetwire.apps.vending.tables import orders as orders_table
from fleetwire.apps.vending.terms import SANDBOX, Terms
from fleetwire.kit import (
    Audit,
    Caller,
    Clock,
    Device,
    Devices,
    DomainError,
    Effect,
    ForbiddenError,
    Mode,
    NotFoundError,
    Result,
    Store,
    Transaction,
)

log = structlog.get_logger("fleetwire.apps.vending")

SENT_WITHIN_S: Final = 0.3
LOOK_S: Final = 0.02
TRY_AGAIN_US: Final = 2_000_000


@dataclass(frozen=True)
class Shop:
    """What its routes and timers do."""

    terms: Terms
    gateway: Gateway
    store: Store
    devices: Devices
    audit: Audit
    mode: Mode
    clock: Clock

    def device(self, machine_id: str) -> Device:
        """Return the device that a machine is. Raises NotFoundError."""
        device = self.devices.find(APP, machine_id)
        if device is None:
            raise NotFoundError("Machine not found", field="machine_id")
        return device

    async def order(self, order_id: str, organization_id: int | None = None) -> dict[str, Any]:
        """Return an order as it is shown. Raises NotFoundError."""

        def work(connection: Connection) -> dict[str, Any]:
            order = orders.find(connection, order_id, organization_id)
            return orders.shown(order, orders.items_of(connection, order_id))

        return await self.store.read(work)

    # --- buying ---

    async def open_order(
        self,
        wanted: Sequence[tuple[int, int]],
        payment_method: str,
        customer_phone: str | None,
    ) -> dict[str, Any]:
        """Store an order and open its payment. If either fails, nothing stays reserved."""
        if self.gateway.name == SANDBOX and not self.mode.is_development:
            raise UnavailableError("No payment gateway is set up: see PAYMENT_GATEWAY")
        order_id = await self.store.write(
            lambda tx: orders.create(
                tx,
                wanted,
                payment_method=payment_method,
                customer_phone=customer_phone,
                open_s=self.terms.order_open_s,
                now=self.clock.now(),
            )
        )
        order, items = await self.store.read(
            lambda connection: (
                orders.find(connection, order_id),
                orders.items_of(connection, order_id),
            )
        )
        try:
            charge = await self.gateway.charge(order, items)
        except GatewayError as error:
            await self.close(order_id, states.CANCELLED, "the payment gateway failed")
            log.warning("the payment gateway failed", reason=error.message)
            raise
        await self._keep(order_id, charge)
        return await self.order(order_id)

    async def charge_by(self, order_id: str, payment_method: str) -> None:
        """Open the payment of an order anew. Raises RefusedError if the order is not open."""

        def work(tx: Transaction) -> Row[Any]:
            done = tx.execute(
                update(orders_table)
                .where(orders_table.c.id == order_id, orders_table.c.status == states.PENDING)
                .values(payment_method=payment_method)
            )
            order = orders.find(tx.connection, order_id)
            if not done.rowcount:
                raise RefusedError(
                    "Only an open order can be paid", order_id=order_id, status=order.status
                )
            return order

        order = await self.store.write(work)
        items = await self.store.read(lambda connection: orders.items_of(connection, order_id))
        await self._keep(order_id, await self.gateway.charge(order, items))

    async def _keep(self, order_id: str, charge: Charge) -> None:
        await self.store.write(
            lambda tx: tx.execute(
                update(orders_table)
                .where(orders_table.c.id == order_id)
                .values(
                    payment_url=charge.payment_url,
                    payment_token=charge.payment_token,
                    qr_string=charge.qr_string,
                )
            )
        )

    async def cancel_charge(self, order_id: str) -> None:
        """End the payment of an order that is given up.

        If the gateway does not answer and somebody pays all the same, that is to be paid back.
        """
        try:
            await self.gateway.cancel(order_id)
        except GatewayError as error:
            log.warning("a payment was not cancelled", order=order_id, reason=error.message)

    async def refund(self, caller: Caller, order_id: str) -> None:
        """Pay back what an order owes. Raises NotFoundError, RefusedError, GatewayError."""
        order = await self.store.read(
            lambda connection: orders.find(connection, order_id, caller.organization_id)
        )
        if not order.refund_required:
            raise RefusedError(
                "There is nothing to pay back", order_id=order_id, status=order.status
            )
        await self.gateway.refund(order_id, order.refund_amount)

        def work(tx: Transaction) -> list[Effect]:
            device = self.devices.find(APP, order.machine_id)
            return payments.mark_refunded(tx, device, order, self.clock.now())

        await self.store.apply(work)
        detail = {"amount": order.refund_amount}
        await self.audit.record(caller, "payment.refund", f"order:{order_id}", detail=detail)

    async def close(self, order_id: str, to: str, reason: str) -> bool:
        """End an unpaid order; False if it is not one. Raises NotFoundError."""

        def work(tx: Transaction) -> Result[bool]:
            order = orders.find(tx.connection, order_id)
            device = self.devices.find(APP, order.machine_id)
            moved = orders.close_unpaid(tx, device, order_id, to, reason, self.clock.now())
            return Result(moved is not None, moved or [])

        return await self.store.apply(work)

    async def settle(self, notification: Notification, remote: str) -> payments.Settled:
        """Take a gateway's word; a payment also begins the dispensing.

        Raises ForbiddenError for a wrong signature, RefusedError, NotFoundError.
        """
        if not notification.is_signed(self.terms.server_key):
            await self._refused(notification, remote, "wrong signature")
            raise ForbiddenError("Invalid signature")

        def work(tx: Transaction) -> Result[payments.Settled]:
            order = orders.find(tx.connection, notification.order_id)
            device = self.devices.find(APP, order.machine_id)
            settled, effects = payments.settle(
                tx, device, self.gateway.name, notification, self.clock.now()
            )
            return Result(settled, effects)

        try:
            settled = await self.store.apply(work)
        except RefusedError as error:
            await self._refused(notification, remote, error.message)
            raise
        if settled.is_paid:
            await self.trigger_paid(notification.order_id, f"payment:{notification.transaction_id}")
        return settled

    async def trigger_paid(self, order_id: str, by: str) -> None:
        """Begin to dispense what was paid, unless somebody else has; later, if it cannot be now."""
        try:
            await self.trigger(order_id, by)
        except RefusedError:
            return  # a kiosk or an operator was quicker
        except DomainError as error:
            log.warning("a paid order waits", order=order_id, reason=error.message)
            await self.store.write(
                lambda tx: tx.execute(
                    update(orders_table)
                    .where(orders_table.c.id == order_id, orders_table.c.status == states.PAID)
                    .values(dispense_due_at=self.clock.now() + TRY_AGAIN_US)
                )
            )

    async def _refused(self, notification: Notification, remote: str, reason: str) -> None:
        """Put on record who tried to tell us of a payment that is not so."""
        found = await self.store.read(
            lambda connection: connection.execute(
                select(orders_table.c.organization_id).where(
                    orders_table.c.id == notification.order_id
                )
            ).scalar()
        )
        organization_id = self.mode.organization_id if found is None else int(found)
        caller = structs.replace(Caller.anonymous(remote), organization_id=organization_id)
        await self.audit.record(
            caller,
            "payment.notify",
            f"order:{notification.order_id}"[:256],
            outcome="refused",
            detail={"reason": reason, "transaction_status": notification.transaction_status[:32]},
        )

    # --- dispensing ---

    async def trigger(
        self, order_id: str, by: str, *, organization_id: int | None = None, again: bool = False
    ) -> list[dict[str, Any]]:
        """Begin to dispense a paid order; return the commands. `again`: what has failed.

        Raises NotFoundError, RefusedError, TooManyError.
        """
        order = await self.store.read(
            lambda connection: orders.find(connection, order_id, organization_id)
        )
        device = self.device(order.machine_id)
        record = await self.devices.get(
            Caller.system(device.organization_id), APP, device.device_id
        )
        begin = dispensing.retry if again else dispensing.trigger

        def work(tx: Transaction) -> Result[list[dict[str, Any]]]:
            commands, effects = begin(
                tx,
                device,
                order_id,
                by=by,
                connected=record.connected,
                terms=self.terms,
                now=self.clock.now(),
            )
            return Result(commands, effects)

        return await self.store.apply(work)

    async def take_result(self, outcome: attempts.Outcome, by: str, organization_id: int) -> None:
        """Take what a person says of an attempt. Raises NotFoundError."""

        def work(tx: Transaction) -> list[Effect]:
            order = orders.find(tx.connection, outcome.order_id, organization_id)
            return attempts.take(
                tx, self.device(order.machine_id), outcome, by=by, now=self.clock.now()
            )

        await self.store.apply(work)

    async def once_sent(self, order_id: str) -> dict[str, Any]:
        """Return the order once its command is on its way, or after a moment as it is.

        Whether a machine listens is the ledger's to know; what it sends it sends at once.
        """
        order = await self.order(order_id)
        for _ in range(round(SENT_WITHIN_S / LOOK_S)):
            if order["status"] != states.PENDING_DISPENSE:
                break
            await asyncio.sleep(LOOK_S)
            order = await self.order(order_id)
        return order
