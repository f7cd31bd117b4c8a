"""Truth: what the tables say, compared with what the virtual machines know that they did."""

from collections import Counter
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

    def confirmation(self, attempt: dict[str, Any]) -> dict[str, Any]:
        """Return what somebody finds who looks into the machine after such an attempt."""
        ((item_index, quantity),) = self._select(
            "SELECT item_index, quantity FROM order_items WHERE order_id = ? AND slot_number = ?",
            attempt["order_id"],
            attempt["slot_number"],
        )
        dropped = self._simulator.drops()[attempt["order_id"], item_index]
        return {
            "order_id": attempt["order_id"],
            "slot_number": attempt["slot_number"],
            "success": dropped == quantity,
            "dropped": dropped,
        }

    def check_before_anybody_looked(self) -> Counter[tuple[str, int]]:
        """Check what must hold while results are lost for good; return the units in question.

        No message says what became of those: the stock has them still, none of them can be sold,
        and every other unit is where the tables say.
        """
        assert self._simulator.faults() == []  # every paid item dispensed at most once
        assert self.open_orders() == []
        drops = self._simulator.drops()
        unknown: Counter[tuple[str, int]] = Counter()
        unseen: Counter[tuple[str, int]] = Counter()
        for machine_id, slot_number, order_id, item_index, quantity in self._select(
            "SELECT d.machine_id, d.slot_number, d.order_id, i.item_index, d.quantity "
            "FROM dispense_logs d JOIN order_items i ON i.id = d.item_id "
            "WHERE d.result_at IS NULL AND d.command_sent_at IS NOT NULL"
        ):
            unknown[machine_id, slot_number] += quantity
            unseen[machine_id, slot_number] += drops[order_id, item_index]
        for machine_id, slot_number, counted, reserved, truth in self._slots():
            slot = (machine_id, slot_number)
            assert counted - unseen[slot] == truth, slot
            assert reserved == unknown[slot], slot
            assert counted - reserved <= truth, slot
        return +unknown

    def check(self) -> None:
        """Raise AssertionError where the tables and the machines differ."""
        assert self._simulator.faults() == []  # every paid item dispensed at most once
        assert self.open_orders() == []
        for machine_id, slot_number, counted, reserved, truth in self._slots():
            # stock in tables = initial - really dropped
            assert (counted, reserved) == (truth, 0), (machine_id, slot_number)
        self._check_money()
        twice = self._select(
            "SELECT item_id, count(*) FROM dispense_logs GROUP BY item_id HAVING count(*) > 1"
        )
        assert twice == []

    def _slots(self) -> list[tuple[str, int, int, int, int]]:
        """Return (machine, slot number, counted, reserved, what really is in it)."""
        dropped = {machine.device_id: machine.dropped for machine in self._simulator.machines}
        rows = self._select(
            "SELECT machine_id, slot_number, current_stock, reserved_stock FROM slots "
            "WHERE machine_id LIKE 'sim-%'"
        )
        assert {row[0] for row in rows} == dropped.keys()
        return [(*row, self._stock - dropped[row[0]][row[1]]) for row in rows]

    def _check_money(self) -> None:
        """What is to be paid back is what was paid and did not come out, to the last rupiah."""
        drops = self._simulator.drops()
        orders = self._select(
            "SELECT id, status, total_amount, refund_amount, refund_required, paid_at FROM orders "
            "WHERE machine_id LIKE 'sim-%'"
        )
        for order_id, status, total, refund, required, paid_at in orders:
            items = self._select(
                "SELECT item_index, unit_price FROM order_items WHERE order_id = ?", order_id
            )
            kept = sum(price * drops[order_id, index] for index, price in items)
            if paid_at is None:
                assert (kept, refund) == (0, 0), (order_id, status)
            else:
                assert refund == total - kept, (order_id, status)
                assert bool(required) == (refund > 0), (order_id, status)
