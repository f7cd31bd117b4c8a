"""What machines answer: taken once, whole, and for what it says."""

import pytest

from tests.apps.vending.field import ORDER, RESULT, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def trigger(field: Field) -> None:
    answer = await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    assert answer.status_code == 200


async def test_a_success_closes_everything_in_one_go(field: Field) -> None:
    """«`dispense_logs` row closed, order COMPLETED or FAILED, … quantity of that item's
    slot, `stock_logs` row `DISPENSE`, all in one transaction.»
    """
    order_id = await field.paid((3, 2))
    (command,) = await field.commands(1)
    assert command == {
        "cmd": "dispense", "slot": 3, "orderId": order_id, "timeoutMs": 4300, "quantity": 2,
    }  # fmt: skip
    assert await field.stock(3) == (10, 2)
    await field.answer(order_id, slot=3, dropDetected=True, durationMs=1850)
    assert await field.status(order_id) == "COMPLETED"
    assert await field.stock(3) == (8, 0)
    (log,) = await field.rows("SELECT * FROM dispense_logs")
    assert (log["success"], log["drop_detected"], log["duration_ms"]) == (1, 1, 1850)
    assert log["command_sent_at"] <= log["completed_at"]
    assert log["error_message"] is None
    (line,) = await field.rows("SELECT * FROM stock_logs")
    assert line["change_type"] == "DISPENSE"
    assert (line["quantity_before"], line["quantity_after"], line["quantity_change"]) == (10, 8, -2)
    assert await field.one("SELECT dispensed_at FROM orders WHERE id = :id", id=order_id)


async def test_all_but_the_order_and_success_may_be_missing(field: Field) -> None:
    """«`vm/{id}/dispense_result` up |
    `{"orderId","slot","success","dropDetected","durationMs","error"}`; all but `orderId` and
    `success` may be missing»
    """
    await trigger(field)
    await field.answer(ORDER)
    assert await field.status(ORDER) == "COMPLETED"


@pytest.mark.parametrize(
    ("success", "drop_detected", "expected"),
    [
        (True, True, "COMPLETED"),
        (True, False, "FAILED"),  # the motor turned, nothing fell
        (False, True, "FAILED"),
        (True, None, "COMPLETED"),  # it has no drop sensor
        (False, None, "FAILED"),
    ],
)
async def test_a_drop_sensor_has_the_last_word(
    field: Field, success: bool, drop_detected: bool | None, expected: str
) -> None:
    """«Success rule: `success and dropDetected` when `dropDetected` is given (machine has a drop
    sensor), else `success`.»
    """
    await trigger(field)
    said = {} if drop_detected is None else {"dropDetected": drop_detected}
    await field.answer(ORDER, success=success, **said)
    assert await field.status(ORDER) == expected
    assert await field.stock() == ((9, 0) if expected == "COMPLETED" else (10, 0))


async def test_a_failure_is_to_be_paid_back_and_is_an_alarm(field: Field) -> None:
    order_id = await field.paid((2, 1))
    await field.answer(order_id, success=False, error="JAM")
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=order_id)
    assert (order["status"], order["failure_reason"]) == ("FAILED", "JAM")
    assert (order["refund_required"], order["refund_amount"]) == (1, 7000)
    assert await field.alarms() == ["dispense_failed"]


async def test_a_duplicate_result_changes_nothing(field: Field) -> None:
    """«Duplicate and late results change nothing twice»"""
    await trigger(field)
    for _ in range(3):
        await field.answer(ORDER, slot=1, dropDetected=True, durationMs=1850)
    assert await field.stock() == (9, 0)
    assert len(await field.rows("SELECT * FROM stock_logs")) == 1


async def test_a_result_that_says_the_opposite_is_an_alarm_and_changes_nothing(
    field: Field,
) -> None:
    await trigger(field)
    await field.answer(ORDER, slot=1, durationMs=1850)
    await field.answer(ORDER, success=False, slot=1, durationMs=10, error="JAM")
    assert await field.status(ORDER) == "COMPLETED"
    assert await field.stock() == (9, 0)
    assert await field.alarms() == ["dispense_contradiction"]


async def test_a_late_success_leaves_the_stock_and_is_not_paid_back(field: Field) -> None:
    await trigger(field)
    await field.sent()
    await field.pass_time(60)
    for _ in range(2):
        await field.answer(ORDER, slot=1, dropDetected=True, durationMs=40_000)
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=ORDER)
    assert (order["status"], order["refund_required"], order["refund_amount"]) == ("FAILED", 0, 0)
    assert await field.stock() == (9, 0)
    assert await field.alarms() == ["dispense_timeout", "dispense_late"]


async def test_a_late_failure_gives_the_stock_back(field: Field) -> None:
    await trigger(field)
    await field.sent()
    await field.pass_time(60)
    await field.answer(ORDER, success=False, error="JAM")
    assert await field.stock() == (10, 0)
    assert await field.one("SELECT refund_amount FROM orders WHERE id = :id", id=ORDER) == 5000


@pytest.mark.parametrize(
    ("body", "field_at_fault"),
    [
        ({"success": True}, "orderId"),
        ({"orderId": 7, "success": True}, "orderId"),
        ({"orderId": "test-order-123"}, "success"),
        ({"orderId": "test-order-123", "success": "perhaps"}, "success"),
        ({"orderId": "test-order-123", "success": True, "slot": "x"}, "slot"),
        ({"orderId": "test-order-123", "success": True, "durationMs": -1}, "durationMs"),
        ({"orderId": "unknown", "success": True}, "order_id"),
        ({"orderId": "test-order-123", "success": True}, "slot"),  # nobody has triggered it
    ],
)
async def test_a_result_that_makes_no_sense_waits_in_quarantine(
    field: Field, body: dict[str, object], field_at_fault: str
) -> None:
    outcome = await field.vm.send(RESULT, body)
    assert (outcome.is_stored, outcome.field) == (False, field_at_fault)
    assert len(await field.quarantined()) == 1
    assert await field.status(ORDER) == "PAID"


async def test_numbers_and_truth_may_come_as_text(field: Field) -> None:
    await trigger(field)
    await field.answer(ORDER, success="true", slot="1", durationMs="1850", dropDetected=1)  # type: ignore[arg-type]  # as some devices send it
    assert await field.status(ORDER) == "COMPLETED"


async def test_a_result_is_kept_with_everything_it_says(field: Field) -> None:
    """«`vm/{id}/dispense_result` up |
    `{"orderId","slot","success","dropDetected","durationMs","error"}`»
    """
    await trigger(field)
    said = {"orderId": ORDER, "slot": 1, "success": False, "dropDetected": False}
    said |= {"durationMs": 2150, "error": "JAM"}
    assert (await field.vm.send("vm/{device_id}/dispense_result", said)).is_stored
    (log,) = await field.rows("SELECT * FROM dispense_logs")
    assert (log["order_id"], log["slot_number"]) == (ORDER, 1)
    assert (log["success"], log["drop_detected"]) == (0, 0)
    assert (log["duration_ms"], log["error_message"]) == (2150, "JAM")


async def test_a_result_is_stored_whole_or_not_at_all(field: Field) -> None:
    """«all in one transaction»"""
    await trigger(field)
    await field.sent()
    before = await field.everything()
    await field.write(
        "CREATE TRIGGER full BEFORE INSERT ON stock_logs BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    try:
        outcome = await field.vm.send(RESULT, {"orderId": ORDER, "success": True})
        assert not outcome.is_stored
    finally:
        await field.write("DROP TRIGGER full")
    after = await field.everything()
    for name in ("dispense_logs", "orders", "order_items", "slots", "stock_logs"):
        assert after[name] == before[name], name
    await field.answer(ORDER)
    assert await field.status(ORDER) == "COMPLETED"
