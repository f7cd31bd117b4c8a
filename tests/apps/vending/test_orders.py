"""Orders: what is sold, for how much, and for how long it is set aside."""

import re

import pytest

from fleetwire.apps.vending import states
from tests.apps.vending.field import Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_order_answers_with_everything_to_pay_it(field: Field) -> None:
    """«`POST /orders {slot_id,quantity 1..10=1,customer_phone?,payment_method
    qris|va|gopay|shopeepay}` → 201 `{order_id:"ORD-YYYYMMDD-XXXXXXXX"»
    """
    answer = await field.kiosk.post(
        "/api/orders",
        json={"slot_id": 2, "quantity": 3, "customer_phone": "+62 812", "payment_method": "qris"},
    )
    assert answer.status_code == 201
    order = answer.json()
    assert re.fullmatch(r"ORD-\d{8}-[A-Z0-9]{8}", order["order_id"])
    assert (order["product_name"], order["quantity"]) == ("Iced tea", 3)
    assert (order["unit_price"], order["total_amount"]) == (7000, 21_000)
    assert order["status"] == "PENDING"
    assert order["payment_url"]
    assert order["payment_token"]
    assert order["qr_string"]
    (row,) = await field.rows("SELECT created_at, expires_at FROM orders WHERE status = 'PENDING'")
    assert row["expires_at"] - row["created_at"] == 900_000_000
    assert await field.stock(2) == (10, 3)


async def test_an_order_without_quantity_is_for_one(field: Field) -> None:
    """«`GET /orders/:id`;»"""
    order_id = await field.order(2)
    answer = await field.kiosk.get(f"/api/orders/{order_id}")
    assert answer.json()["quantity"] == 1


async def test_more_than_there_is_cannot_be_ordered(field: Field) -> None:
    """«400 `{error:"Insufficient stock",available,requested}`;»"""
    await field.order(2, 8)
    answer = await field.kiosk.post(
        "/api/orders", json={"slot_id": 2, "quantity": 3, "payment_method": "gopay"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "Insufficient stock"
    assert (answer.json()["available"], answer.json()["requested"]) == (2, 3)
    assert await field.stock(2) == (10, 8)


async def test_of_several_items_all_or_none_is_set_aside(field: Field) -> None:
    await field.order(2, 10)
    answer = await field.kiosk.post(
        "/api/orders/multi",
        json={
            "items": [{"slot_id": 3, "quantity": 1}, {"slot_id": 2, "quantity": 1}],
            "payment_method": "gopay",
        },
    )
    assert answer.status_code == 400
    assert await field.stock(3) == (10, 0)


async def test_an_unknown_slot_is_404(field: Field) -> None:
    """«404 slot,»"""
    answer = await field.kiosk.post("/api/orders", json={"slot_id": 99, "payment_method": "va"})
    assert (answer.status_code, answer.json()["error"]) == (404, "Slot not found")


@pytest.mark.parametrize(
    "change",
    [{"quantity": 0}, {"quantity": 11}, {"payment_method": "cash"}, {"slot_id": "x"}],
)
async def test_a_value_that_does_not_fit_is_400(field: Field, change: dict[str, object]) -> None:
    body = {"slot_id": 1, "quantity": 1, "payment_method": "qris", **change}
    answer = await field.kiosk.post("/api/orders", json=body)
    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == next(iter(change))


async def test_several_items_are_one_order(field: Field) -> None:
    """«`POST /orders/multi {items:[{slot_id,quantity}]1..10,…}`;»"""
    order_id = await field.order_many((1, 1), (2, 2))
    order = (await field.kiosk.get(f"/api/orders/{order_id}")).json()
    assert order["total_amount"] == 5000 + 2 * 7000
    assert [item["total_price"] for item in order["items"]] == [5000, 14_000]
    assert await field.stock(2) == (10, 2)


async def test_an_unpaid_order_is_closed_by_time(field: Field) -> None:
    """«Stock is reserved while an order is open, and an expired PENDING is closed by time, not
    on read.»
    """
    order_id = await field.order(2)
    await field.pass_time(890)
    assert await field.status(order_id) == "PENDING"
    await field.pass_time(10)
    assert await field.status(order_id) == "EXPIRED"
    assert await field.stock(2) == (10, 0)


async def test_a_machine_s_orders_are_listed_newest_first(field: Field) -> None:
    """«`GET /orders/machine/:id?status&limit&offset` → `{orders[],total,limit,offset}`.»"""
    first = await field.order(2)
    await field.pass_time(1)
    second = await field.order(2)
    answer = await field.operator.get(
        "/api/orders/machine/VM01", params={"status": "PENDING", "limit": 1, "offset": 0}
    )
    found = answer.json()
    assert (found["total"], found["limit"], found["offset"]) == (2, 1, 0)
    assert [order["order_id"] for order in found["orders"]] == [second]
    answer = await field.operator.get("/api/orders/machine/VM01?status=PENDING&offset=1")
    assert [order["order_id"] for order in answer.json()["orders"]] == [first]


async def test_each_change_of_state_is_told(field: Field) -> None:
    order_id = await field.paid((2, 1))
    await field.answer(order_id, success=False, error="JAM")
    told = [
        event.body["status"]
        for event in field.hub.events
        if event.name == "order.status" and event.body["order_id"] == order_id
    ]
    assert told == ["PAID", "DISPENSING", "FAILED"]


@pytest.mark.parametrize("method", ["qris", "va", "gopay", "shopeepay"])
async def test_every_method_of_payment_is_taken(field: Field, method: str) -> None:
    order_id = await field.order(2, payment_method=method)
    order = (await field.kiosk.get(f"/api/orders/{order_id}")).json()
    assert order["payment_method"] == method
    assert (order["qr_string"] is not None) == (method == "qris")


@pytest.mark.parametrize("items", [0, 11])
async def test_an_order_has_one_to_ten_items(field: Field, items: int) -> None:
    body = {"items": [{"slot_id": 1, "quantity": 1}] * items, "payment_method": "qris"}
    answer = await field.kiosk.post("/api/orders/multi", json=body)
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, "items")


async def test_an_order_goes_from_state_to_state_as_the_contract_says() -> None:
    """«Order states: PENDING → PAID → (PENDING_DISPENSE →) DISPENSING → COMPLETED | FAILED |
    PARTIAL; PENDING → EXPIRED | CANCELLED; FAILED/PARTIAL → REFUNDED.»
    """
    steps = {(source, to) for to, sources in states.SOURCES.items() for source in sources}
    ends = ("COMPLETED", "FAILED", "PARTIAL")
    assert steps == {
        ("PENDING", "PAID"), ("PENDING", "EXPIRED"), ("PENDING", "CANCELLED"),
        ("PENDING", "FAILED"),  # deny/cancel/expire of its payment
        ("PAID", "PENDING_DISPENSE"), ("PAID", "DISPENSING"), ("PENDING_DISPENSE", "DISPENSING"),
        ("PAID", "FAILED"),  # its command could not be stored in time
        *(("DISPENSING", end) for end in ends),
        *(("PENDING_DISPENSE", end) for end in ends),  # the result was here before «sent»
        # An operator tries again.
        *((end, to) for end in ends[1:] for to in ("PENDING_DISPENSE", "DISPENSING")),
        ("FAILED", "REFUNDED"), ("PARTIAL", "REFUNDED"),
    }  # fmt: skip
    ends_of_all = {"COMPLETED", "FAILED", "PARTIAL", "EXPIRED", "CANCELLED", "REFUNDED"}
    assert ends_of_all == states.TERMINAL


@pytest.mark.parametrize(("now", "allowed"), [("PENDING", True), ("EXPIRED", False)])
async def test_a_step_that_is_not_allowed_does_not_take_place(
    field: Field, now: str, allowed: bool
) -> None:
    order_id = await field.order(2)
    await field.write(f"UPDATE orders SET status = '{now}' WHERE id = '{order_id}'")
    await field.notify(order_id)
    assert (await field.status(order_id) == now) is not allowed
