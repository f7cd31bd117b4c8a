"""Truth: what the tables say, compared with what the virtual machines know that they did."""

from collections.abc import Callable
from typing import Any

from fleetwire.apps.vending.simulator import Simulator
from fleetwire.apps.vending.states import TERMINAL

Select = Callable[..., list[tuple[Any, ...]]]


class Truth:
    """`select` reads the database; each slot of a virtual machine had `stock` units."""

    def __init__(self, simulator: Simulator, select: Select, stock: int) -> None:
        self._simulator = simulator
        self._select = select
        self._stock = stock

    def open_orders(self) -> list[tuple[Any, ...]]:
        """Return orders that are in no terminal state."""
        known = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
        return self._select(
            f"SELECT id, status FROM orders WHERE status NOT IN ({known}) "
            "AND machine_id LIKE 'sim-%'"
        )

    def unknown(self) -> list[dict[str, Any]]:
        """Return what an operator finds out of attempts whose result was lost."""
        drops = self._simulator.drops()
        lost = self._select(
            "SELECT d.order_id, i.item_index, d.slot_number FROM dispense_logs d "
            "JOIN order_items i ON i.id = d.item_id "
            "WHERE d.result_at IS NULL AND d.command_sent_at IS NOT NULL"
        )
        return [
            {
                "order_id": order_id,
                "slot_number": slot_number,
                "success": drops[order_id, item_index] > 0,
            }
            for order_id, item_index, slot_number in lost
        ]

    def check(self) -> None:
        """Raise AssertionError where the tables and the machines differ."""
        assert self._simulator.faults() == []  # every paid item dispensed at most once
        assert self.open_orders() == []
        self._check_stock()
        self._check_money()
        twice = self._select(
            "SELECT item_id, count(*) FROM dispense_logs GROUP BY item_id HAVING count(*) > 1"
        )
        assert twice == []

    def _check_stock(self) -> None:
        """The stock in the tables is what was there less what really dropped."""
        for machine in self._simulator.machines:
            rows = self._select(
                "SELECT slot_number, current_stock, reserved_stock FROM slots WHERE machine_id = ?",
                machine.device_id,
            )
            for slot_number, counted, reserved in rows:
                truth = self._stock - machine.dropped[slot_number]
                assert (counted, reserved) == (truth, 0), (machine.device_id, slot_number)

    def _check_money(self) -> None:
        """What is to be paid back is what was paid and did not come out, to the last rupiah."""
        drops = self._simulator.drops()
        orders = self._select(
            "SELECT id, status, total_amount, refund_amount, refund_required, paid_at FROM orders "
            "WHERE machine_id LIKE 'sim-%'"
        )
        for order_id, status, total, refund, required, paid_at in orders:
            items = self._select(
                "SELECT item_index, total_price FROM order_items WHERE order_id = ?", order_id
            )
            kept = sum(price for index, price in items if drops[order_id, index])
            if paid_at is None:
                assert (kept, refund) == (0, 0), (order_id, status)
            else:
                assert refund == total - kept, (order_id, status)
                assert bool(required) == (refund > 0), (order_id, status)
