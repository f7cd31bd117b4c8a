"""A vending fleet for tests: the app in a TestHub, and what kiosks, machines and gateways do."""

from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import text

from fleetwire.apps.vending import create
from fleetwire.apps.vending.demo import add_demo
from fleetwire.apps.vending.gateways import signature_of
from fleetwire.apps.vending.tables import metadata
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import Clock, Component, Devices, Health, Messages, Store, Transaction
from fleetwire.testing import HubDevice, TestHub

KEY = "SB-Mid-server-test"
ORDER = "test-order-123"  # of the demonstration data: slot 1 of VM01, PAID
RESULT = "vm/{device_id}/dispense_result"


class FakeHealth(Health):
    """A house without sockets believes that its broker takes no messages."""

    def __init__(self) -> None:
        self.connected = True

    def is_connected(self) -> bool:
        return self.connected

    async def components(self) -> Sequence[Component]:
        return []

    def metrics(self) -> bytes:
        return b""


class Field:
    """Machine VM01 with its six slots of ten, and the paid order of the demonstration data."""

    hub: TestHub
    vm: HubDevice
    is_connected = False
    _is_begun = False

    def __init__(self, **terms: Any) -> None:
        terms = {"server_key": KEY, **terms}
        self.app = create(Terms(**terms))

    async def open(self, hub: TestHub) -> None:
        """Enter the house, which many tests share."""
        self.hub = hub
        await hub.__aenter__()
        self.health = FakeHealth()
        hub.house.services[Health] = self.health
        self.operator = hub.http()
        self.kiosk = hub.http(token="")

    async def begin(self, *, is_connected: bool) -> None:
        """Make everything as it is at the start: the demonstration data, and VM01 anew."""
        if not self._is_begun:
            self.vm = await self.hub.device("VM01", is_connected=False)
            self._is_begun = True
        elif self.is_connected:
            self.leave("disconnect")
            await self.hub.settle()
        self.vm = HubDevice(self.hub.house, self.vm.device, self.vm.credential, self.hub.clock)
        self.hub.clock.at += 400_000_000  # commands of an earlier test have expired
        await self.hub.advance(1)
        await self.clear()
        self.hub.events.clear()
        self.health.connected = True
        self._marks = {
            name: int(await self.one(f"SELECT coalesce(max(id), 0) FROM {name}"))
            for name in ("alarms", "audit", "quarantine")
        }
        if is_connected:
            await self.come()
            await self.hub.settle()

    async def come(self) -> None:
        """Let VM01 connect."""
        await self.vm.connect()
        self.is_connected = True

    def leave(self, reason: str) -> None:
        """Let VM01 go away."""
        self.vm.disconnect(reason)
        self.is_connected = False

    async def clear(self) -> None:
        """Empty the app's tables and fill them with the demonstration data."""
        devices = self.hub.service(Devices)  # type: ignore[type-abstract]  # by interface
        messages = self.hub.service(Messages)  # type: ignore[type-abstract]
        store = self.hub.service(Store)  # type: ignore[type-abstract]
        for other in (await devices.list(self.hub.caller, "vending")).items:
            if other.device_id != "VM01":
                await devices.delete(self.hub.caller, "vending", other.device_id)

        def work(tx: Transaction) -> None:
            for table in reversed(metadata.sorted_tables):
                tx.execute(table.delete())
            # The demonstration's order is the same each time, and so would its commands be.
            for name in ("command_events", "command_terms", "commands"):
                tx.execute(text(f"DELETE FROM {name}"))

        await store.write(work)
        await add_demo(self.hub.caller, devices, store, self.hub.service(Clock))
        await messages.retain(self.hub.caller, "vm/VM01/config", b"")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass at once; the app's timer looks once afterwards."""
        self.hub.clock.at += round(seconds * 1e6)
        await self.hub.advance(1)

    # --- what people and systems do ---

    async def order(self, slot_id: int = 1, quantity: int = 1, **more: Any) -> str:
        """Order as a kiosk; return the order's id."""
        body = {"slot_id": slot_id, "quantity": quantity, "payment_method": "qris", **more}
        answer = await self.kiosk.post("/api/orders", json=body)
        assert answer.status_code == 201, answer.text
        order_id = answer.json()["order_id"]
        assert isinstance(order_id, str)
        return order_id

    async def order_many(self, *items: tuple[int, int]) -> str:
        """Order several slots at once."""
        body = {
            "items": [{"slot_id": slot, "quantity": quantity} for slot, quantity in items],
            "payment_method": "gopay",
        }
        answer = await self.kiosk.post("/api/orders/multi", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["order_id"])

    async def notify(
        self, order_id: str, status: str = "settlement", **changes: Any
    ) -> httpx.Response:
        """Send the webhook, well signed unless `changes` say otherwise."""
        return await self.kiosk.post(
            "/api/payments/webhook",
            json=notification(order_id, await self.total(order_id), status, **changes),
        )

    async def paid(self, *items: tuple[int, int]) -> str:
        """Return an order that has been paid by webhook; its command is under way."""
        if len(items) > 1:
            order_id = await self.order_many(*items)
        else:
            order_id = await self.order(*(items[0] if items else (1, 1)))
        answer = await self.notify(order_id)
        assert answer.status_code == 200, answer.text
        return order_id

    async def commands(self, count: int) -> list[dict[str, Any]]:
        """Return the next so many commands that the machine got; each came on both topics."""
        found = []
        for _ in range(count):
            first, second = await self.vm.next_message(), await self.vm.next_message()
            assert {first.topic, second.topic} == {"vm/VM01/command", "vm/VM01/dispend"}
            assert first.payload == second.payload
            found.append(first.json())
        return found

    async def answer(self, order_id: str, *, success: bool = True, **more: Any) -> None:
        """Let the machine say what came of it."""
        outcome = await self.vm.send(RESULT, {"orderId": order_id, "success": success, **more})
        assert outcome.is_stored, outcome

    # --- what is to be seen ---

    async def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        store = self.hub.service(Store)  # type: ignore[type-abstract]  # by interface
        return await store.read(
            lambda connection: [
                dict(row) for row in connection.execute(text(statement), values).mappings()
            ]
        )

    async def one(self, statement: str, **values: Any) -> Any:
        rows = await self.rows(statement, **values)
        assert len(rows) == 1, rows
        return next(iter(rows[0].values()))

    async def total(self, order_id: str) -> int:
        return int(await self.one("SELECT total_amount FROM orders WHERE id = :id", id=order_id))

    async def status(self, order_id: str) -> str:
        return str(await self.one("SELECT status FROM orders WHERE id = :id", id=order_id))

    async def stock(self, slot_number: int = 1) -> tuple[int, int]:
        """Return (counted, reserved)."""
        rows = await self.rows(
            "SELECT current_stock, reserved_stock FROM slots "
            "WHERE machine_id = 'VM01' AND slot_number = :slot",
            slot=slot_number,
        )
        return rows[0]["current_stock"], rows[0]["reserved_stock"]

    async def write(self, statement: str) -> None:
        store = self.hub.service(Store)  # type: ignore[type-abstract]  # by interface
        await store.write(lambda tx: tx.execute(text(statement)))

    async def paid_at(self, at: int) -> None:
        """Let all that was paid have been paid at this instant."""
        store = self.hub.service(Store)  # type: ignore[type-abstract]  # by interface
        await store.write(
            lambda tx: tx.execute(
                text("UPDATE orders SET paid_at = :at WHERE paid_at IS NOT NULL"), {"at": at}
            )
        )

    async def sent(self, count: int = 1) -> None:
        """Wait until so many commands were noted as sent, by the app too."""
        await self.hub.event("command.sent", count)
        await self.hub.settle()

    async def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return what is in the app's tables, to be compared with what is there later."""
        return {name: await self.rows(f"SELECT * FROM {name}") for name in metadata.tables}

    async def audited(self, action: str) -> list[dict[str, Any]]:
        return await self.rows(
            "SELECT actor, subject, outcome FROM audit WHERE action = :action AND id > :mark",
            action=action,
            mark=self._marks["audit"],
        )

    async def alarms(self) -> list[str]:
        rows = await self.rows(
            "SELECT name FROM alarms WHERE id > :mark ORDER BY id", mark=self._marks["alarms"]
        )
        return [row["name"] for row in rows]

    async def quarantined(self) -> list[str]:
        """Return the reasons of what was refused."""
        rows = await self.rows(
            "SELECT reason FROM quarantine WHERE id > :mark", mark=self._marks["quarantine"]
        )
        return [row["reason"] for row in rows]


def notification(order_id: str, total: int, status: str, **changes: Any) -> dict[str, Any]:
    """Return a webhook's body, well signed for what it says."""
    said = {
        "order_id": order_id,
        "transaction_status": status,
        "transaction_id": f"tx-{order_id}",
        "payment_type": "qris",
        "status_code": "200",
        "gross_amount": f"{total}.00",
        **changes,
    }
    signed = signature_of(said["order_id"], said["status_code"], said["gross_amount"], KEY)
    return {"signature_key": signed, **said}
