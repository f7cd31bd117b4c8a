"""From a paid order to goods: each paid item once, whatever is lost, late or said twice."""

import pytest

from tests.apps.vending.field import ORDER, RESULT, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def trigger(field: Field, order_id: str) -> tuple[int, dict[str, object]]:
    answer = await field.operator.post("/api/dispense/trigger", json={"order_id": order_id})
    return answer.status_code, answer.json()


async def test_the_command_is_what_machines_read_on_both_topics(field: Field) -> None:
    # `{"cmd":"dispense","slot":1,"orderId":"ORD…","timeoutMs":2150}`
    await trigger(field, ORDER)
    first, second = await field.vm.next_message(), await field.vm.next_message()
    assert {first.topic, second.topic} == {"vm/VM01/command", "vm/VM01/dispend"}
    said = b'{"cmd":"dispense","slot":1,"orderId":"test-order-123","timeoutMs":2150}'
    assert first.payload == second.payload == said
    assert not first.retain


async def test_a_trigger_answers_with_the_command(field: Field) -> None:
    # 200 `{order_id,slot_number,command{cmd,slot,orderId,timeoutMs},status:"DISPENSING",message}`
    status, answer = await trigger(field, ORDER)
    assert status == 200
    assert answer["status"] == "DISPENSING"
    assert answer["order_id"] == ORDER
    assert answer["slot_number"] == 1
    assert answer["message"]
    assert answer["command"] == {
        "cmd": "dispense", "slot": 1, "orderId": ORDER, "timeoutMs": 2150,
    }  # fmt: skip


async def test_a_second_trigger_is_refused_with_the_order_s_status(field: Field) -> None:
    # 400 `{error,order_id,status}` if not PAID
    await trigger(field, ORDER)
    status, answer = await trigger(field, ORDER)
    assert status == 400
    assert answer["error"]
    assert (answer["order_id"], answer["status"]) == (ORDER, "DISPENSING")
    await field.commands(1)
    assert len(field.vm.received) == 2


async def test_an_unknown_order_is_not_found(field: Field) -> None:
    status, answer = await trigger(field, "ORD-20260101-AAAAAAAA")
    assert (status, set(answer)) == (404, {"error", "details"})


async def test_a_success_closes_everything_in_one_go(field: Field) -> None:
    # `dispense_logs` row closed, order COMPLETED or FAILED, stock - quantity of that item's slot,
    # `stock_logs` row `DISPENSE`
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
    await trigger(field, ORDER)
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
    # Success rule: `success and dropDetected` when `dropDetected` is given, else `success`.
    await trigger(field, ORDER)
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
    await trigger(field, ORDER)
    for _ in range(3):
        await field.answer(ORDER, slot=1, dropDetected=True, durationMs=1850)
    assert await field.stock() == (9, 0)
    assert len(await field.rows("SELECT * FROM stock_logs")) == 1


async def test_a_result_that_says_the_opposite_is_an_alarm_and_changes_nothing(
    field: Field,
) -> None:
    await trigger(field, ORDER)
    await field.answer(ORDER, slot=1, durationMs=1850)
    await field.answer(ORDER, success=False, slot=1, durationMs=10, error="JAM")
    assert await field.status(ORDER) == "COMPLETED"
    assert await field.stock() == (9, 0)
    assert await field.alarms() == ["dispense_contradiction"]


async def test_without_a_result_the_order_fails_at_its_deadline(field: Field) -> None:
    # no result by then → FAILED with reason `timeout`, refund flag set, alarm
    await trigger(field, ORDER)
    await field.sent()
    await field.pass_time(31)
    assert await field.status(ORDER) == "DISPENSING"
    await field.pass_time(5)
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=ORDER)
    assert (order["status"], order["failure_reason"]) == ("FAILED", "timeout")
    assert (order["refund_required"], order["refund_amount"]) == (1, 5000)
    assert await field.alarms() == ["dispense_timeout"]
    # Nobody knows whether it came out, so it is not sold again.
    assert await field.stock() == (10, 1)


async def test_a_late_success_leaves_the_stock_and_is_not_paid_back(field: Field) -> None:
    await trigger(field, ORDER)
    await field.sent()
    await field.pass_time(60)
    for _ in range(2):
        await field.answer(ORDER, slot=1, dropDetected=True, durationMs=40_000)
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=ORDER)
    assert (order["status"], order["refund_required"], order["refund_amount"]) == ("FAILED", 0, 0)
    assert await field.stock() == (9, 0)
    assert await field.alarms() == ["dispense_timeout", "dispense_late"]


async def test_a_late_failure_gives_the_stock_back(field: Field) -> None:
    await trigger(field, ORDER)
    await field.sent()
    await field.pass_time(60)
    await field.answer(ORDER, success=False, error="JAM")
    assert await field.stock() == (10, 0)
    assert await field.one("SELECT refund_amount FROM orders WHERE id = :id", id=ORDER) == 5000


async def test_an_operator_says_what_came_of_a_lost_result(field: Field) -> None:
    await trigger(field, ORDER)
    await field.sent()
    await field.pass_time(60)
    answer = await field.operator.post(
        "/api/dispense/confirm",
        json={"order_id": ORDER, "slot_number": 1, "success": True, "drop_detected": True},
    )
    assert answer.json() == {"success": True, "order_id": ORDER, "status": "FAILED"}
    assert await field.stock() == (9, 0)


async def test_a_machine_that_is_away_gets_it_when_it_returns(lonely_field: Field) -> None:
    # A machine that is offline → PENDING_DISPENSE, sent when it returns if the deadline allows.
    field = lonely_field
    status, answer = await trigger(field, ORDER)
    assert (status, answer["status"]) == (200, "PENDING_DISPENSE")
    assert await field.status(ORDER) == "PENDING_DISPENSE"
    await field.pass_time(200)
    await field.come()
    await field.commands(1)
    await field.sent()
    assert await field.status(ORDER) == "DISPENSING"
    await field.answer(ORDER)
    assert await field.status(ORDER) == "COMPLETED"


async def test_a_machine_that_returns_too_late_gets_nothing(lonely_field: Field) -> None:
    field = lonely_field
    await trigger(field, ORDER)
    await field.pass_time(305)
    assert await field.status(ORDER) == "FAILED"
    assert await field.stock() == (10, 0)  # the machine never had it
    await field.come()
    await field.hub.settle()
    assert field.vm.received == []


async def test_an_operator_s_retry_is_a_new_attempt(field: Field) -> None:
    # An operator may retry; a retry is a new attempt of the same item.
    await trigger(field, ORDER)
    await field.commands(1)
    await field.answer(ORDER, success=False, error="JAM")
    answer = await field.operator.post("/api/dispense/retry", json={"order_id": ORDER})
    assert answer.status_code == 200
    (command,) = await field.commands(1)
    assert command["attempt"] == 2
    await field.answer(ORDER, slot=1, durationMs=7)
    assert await field.status(ORDER) == "COMPLETED"
    assert await field.stock() == (9, 0)
    counts = await field.rows("SELECT retry_count, success FROM dispense_logs ORDER BY id")
    assert [tuple(row.values()) for row in counts] == [(0, 0), (1, 1)]
    assert await field.one("SELECT refund_required FROM orders WHERE id = :id", id=ORDER) == 0


async def test_the_late_word_on_the_first_attempt_is_counted_beside_the_second(
    field: Field,
) -> None:
    await trigger(field, ORDER)
    await field.sent()
    await field.pass_time(60)
    await field.operator.post("/api/dispense/retry", json={"order_id": ORDER})
    await field.sent(2)
    await field.answer(ORDER, attempt=2, dropDetected=True, durationMs=1800)
    await field.answer(ORDER, attempt=1, dropDetected=True, durationMs=90_000)
    assert await field.status(ORDER) == "COMPLETED"
    assert await field.stock() == (8, 0)  # both really fell


async def test_only_what_failed_can_be_tried_again(field: Field) -> None:
    answer = await field.operator.post("/api/dispense/retry", json={"order_id": ORDER})
    assert (answer.status_code, answer.json()["status"]) == (400, "PAID")


async def test_several_items_say_which_of_how_many(field: Field) -> None:
    # several items add `itemIndex,totalItems`
    order_id = await field.paid((1, 1), (2, 1))
    commands = await field.commands(2)
    assert [(each["slot"], each["itemIndex"], each["totalItems"]) for each in commands] == [
        (1, 1, 2),
        (2, 2, 2),
    ]
    await field.answer(order_id, slot=2, dropDetected=True)
    assert await field.status(order_id) == "DISPENSING"
    await field.answer(order_id, slot=1, success=False, error="JAM")
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=order_id)
    assert (order["status"], order["refund_amount"]) == ("PARTIAL", 5000)
    assert await field.stock(1) == (10, 1)  # the demonstration's order still holds one
    assert await field.stock(2) == (9, 0)


async def test_triggering_many_answers_with_all_commands(field: Field) -> None:
    answer = await field.operator.post("/api/dispense/multi", json={"order_id": ORDER})
    assert answer.status_code == 200
    assert answer.json()["total_items"] == 1
    assert [each["slot"] for each in answer.json()["commands"]] == [1]


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
    await trigger(field, ORDER)
    await field.answer(ORDER, success="true", slot="1", durationMs="1850", dropDetected=1)  # type: ignore[arg-type]  # as some devices send it
    assert await field.status(ORDER) == "COMPLETED"


async def test_the_status_and_the_logs_can_be_read(field: Field) -> None:
    await trigger(field, ORDER)
    await field.answer(ORDER, success=False, error="JAM", durationMs=5)
    answer = await field.operator.get(f"/api/dispense/status/{ORDER}")
    assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
    assert answer.json()["dispense_log"]["error_message"] == "JAM"
    answer = await field.operator.get("/api/dispense/logs/VM01?limit=1&offset=0")
    assert (answer.json()["total"], answer.json()["logs"][0]["order_id"]) == (1, ORDER)


async def test_while_the_broker_is_away_the_order_waits(lonely_field: Field) -> None:
    # 503 and PENDING_DISPENSE if the broker is away
    lonely_field.health.connected = False
    status, answer = await trigger(lonely_field, ORDER)
    assert (status, answer["status"]) == (503, "PENDING_DISPENSE")
    assert await lonely_field.status(ORDER) == "PENDING_DISPENSE"
