"""Items of several units, and units of which nobody knows whether they came out."""

import pytest

from tests.apps.vending.field import ORDER, RESULT, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def order_of(field: Field, order_id: str) -> dict[str, object]:
    (row,) = await field.rows(
        "SELECT status, refund_required, refund_amount FROM orders WHERE id = :id", id=order_id
    )
    return row


async def unconfirmed(field: Field) -> list[str]:
    answer = await field.operator.get("/api/dispense/logs/VM01", params={"unconfirmed": True})
    assert answer.status_code == 200
    assert answer.json()["total"] == len(answer.json()["logs"])
    return [log["order_id"] for log in answer.json()["logs"]]


async def timed_out(field: Field) -> None:
    """Let the demonstration's order be sent, and nobody say what came of it."""
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await field.sent()
    await field.pass_time(60)
    assert await field.status(ORDER) == "FAILED"


async def test_several_units_are_one_command_and_one_result(field: Field) -> None:
    order_id = await field.paid((3, 3))
    (command,) = await field.commands(1)
    assert (command["quantity"], command["timeoutMs"]) == (3, 3 * 2150)
    assert "itemIndex" not in command
    await field.answer(order_id, slot=3, dropDetected=True)
    assert await field.status(order_id) == "COMPLETED"
    assert await field.stock(3) == (7, 0)  # stock - quantity of that item's slot


@pytest.mark.parametrize("success", [True, False])
async def test_what_came_out_of_several_is_taken_and_the_rest_paid_back(
    field: Field, success: bool
) -> None:
    order_id = await field.paid((3, 3))
    await field.answer(order_id, slot=3, success=success, dropped=2)
    assert await order_of(field, order_id) == {
        "status": "PARTIAL", "refund_required": 1, "refund_amount": 9000,
    }  # fmt: skip
    assert await field.stock(3) == (8, 0)
    order = (await field.kiosk.get(f"/api/orders/{order_id}")).json()
    assert order["items"][0]["dispensed_quantity"] == 2
    assert order["items"][0]["dispense_status"] == "PARTIAL"


async def test_a_machine_that_does_not_count_lost_all_or_none(field: Field) -> None:
    order_id = await field.paid((3, 3))
    await field.answer(order_id, slot=3, success=False, error="JAM")
    assert (await order_of(field, order_id))["refund_amount"] == 27_000
    assert await field.stock(3) == (10, 0)


async def test_a_retry_is_for_the_rest(field: Field) -> None:
    order_id = await field.paid((3, 3))
    await field.commands(1)
    await field.answer(order_id, slot=3, success=False, dropped=1)
    answer = await field.operator.post("/api/dispense/retry", json={"order_id": order_id})
    assert answer.status_code == 200
    (command,) = await field.commands(1)
    assert (command["quantity"], command["attempt"]) == (2, 2)
    assert await field.stock(3) == (9, 2)
    await field.answer(order_id, slot=3, attempt=2)
    assert await order_of(field, order_id) == {
        "status": "COMPLETED", "refund_required": 0, "refund_amount": 0,
    }  # fmt: skip
    assert await field.stock(3) == (7, 0)


async def test_a_retry_that_nobody_answers_leaves_what_came_out_before(field: Field) -> None:
    order_id = await field.paid((3, 3))
    await field.sent()
    await field.answer(order_id, slot=3, success=False, dropped=1)
    await field.operator.post("/api/dispense/retry", json={"order_id": order_id})
    await field.sent(2)
    await field.pass_time(60)
    assert await order_of(field, order_id) == {
        "status": "PARTIAL", "refund_required": 1, "refund_amount": 18_000,
    }  # fmt: skip
    assert await field.stock(3) == (9, 2)


async def test_more_than_was_asked_for_is_not_believed(field: Field) -> None:
    order_id = await field.paid((3, 2))
    await field.answer(order_id, slot=3, dropped=9)
    assert await field.status(order_id) == "COMPLETED"
    assert await field.stock(3) == (8, 0)


async def test_a_count_of_drops_that_is_none_waits_in_quarantine(field: Field) -> None:
    order_id = await field.paid((3, 2))
    outcome = await field.vm.send(RESULT, {"orderId": order_id, "success": True, "dropped": -1})
    assert (outcome.is_stored, outcome.field) == (False, "dropped")


async def test_what_nobody_confirmed_is_listed_until_somebody_does(field: Field) -> None:
    assert await unconfirmed(field) == []
    await timed_out(field)
    assert await unconfirmed(field) == [ORDER]
    assert await field.stock() == (10, 1)  # and cannot be sold meanwhile
    body = {"order_id": ORDER, "slot_number": 1, "success": True}
    assert (await field.operator.post("/api/dispense/confirm", json=body)).status_code == 200
    assert await unconfirmed(field) == []
    assert await field.stock() == (9, 0)


async def test_a_command_that_was_never_sent_needs_nobody_s_word(lonely_field: Field) -> None:
    await lonely_field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await lonely_field.pass_time(305)
    assert await lonely_field.status(ORDER) == "FAILED"
    assert await unconfirmed(lonely_field) == []


async def test_what_was_counted_is_not_taken_once_more_by_a_late_word(field: Field) -> None:
    await timed_out(field)
    audit = {"slot_id": 1, "quantity": 9, "change_type": "AUDIT"}
    assert (await field.operator.post("/api/stock/update", json=audit)).status_code == 200
    await field.answer(ORDER, slot=1, dropDetected=True)
    assert await field.stock() == (9, 0)
    assert (await order_of(field, ORDER))["refund_amount"] == 0  # it is with the customer


async def test_what_came_out_late_is_not_paid_back_after_a_retry_that_fails(field: Field) -> None:
    await timed_out(field)
    await field.operator.post("/api/dispense/retry", json={"order_id": ORDER})
    await field.sent(2)
    await field.answer(ORDER, attempt=2, success=False, error="JAM")
    await field.answer(ORDER, attempt=1, durationMs=90_000)
    assert (await order_of(field, ORDER))["refund_amount"] == 0
    assert await field.stock() == (9, 0)


async def test_a_level_counts_too_where_the_machine_is_believed(field: Field) -> None:
    await timed_out(field)
    await field.write("UPDATE machines SET stock_source = 'level'")
    await field.vm.send("vm/{device_id}/telemetry", {"slots": [{"id": 1, "level": "HIGH"}]})
    assert await field.stock() == (8, 0)
