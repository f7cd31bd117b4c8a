"""From a paid order to goods: each paid item once, whatever is lost, late or said twice."""

import pytest

from tests.apps.vending.field import ORDER, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def trigger(field: Field, order_id: str) -> tuple[int, dict[str, object]]:
    answer = await field.operator.post("/api/dispense/trigger", json={"order_id": order_id})
    return answer.status_code, answer.json()


async def test_the_command_is_what_machines_read_on_both_topics(field: Field) -> None:
    """«`vm/{id}/command` down, QoS 1, not retained |
    `{"cmd":"dispense","slot":1,"orderId":"ORD…","timeoutMs":2150}`; several items add
    `itemIndex»

    «Misspelt field names that devices rely on»
    """
    await trigger(field, ORDER)
    first, second = await field.vm.next_message(), await field.vm.next_message()
    assert {first.topic, second.topic} == {"vm/VM01/command", "vm/VM01/dispend"}
    said = b'{"cmd":"dispense","slot":1,"orderId":"test-order-123","timeoutMs":2150}'
    assert first.payload == second.payload == said
    assert not first.retain
    assert first.command_id  # and is acknowledged: QoS 1


async def test_a_trigger_answers_with_the_command(field: Field) -> None:
    """«`POST /dispense/trigger {order_id}` → 200
    `{order_id,slot_number,command{cmd,slot,orderId,timeoutMs},status:"DISPENSING",message}`;»
    """
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
    """«400 `{error,order_id,status}` if not PAID; 404;»"""
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


async def test_without_a_result_the_order_fails_at_its_deadline(field: Field) -> None:
    """«A command carries a deadline; no result by then → FAILED with reason `timeout`, refund
    flag set, alarm.»
    """
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
    """«A machine that is offline → PENDING_DISPENSE, sent when it returns if the deadline
    allows.»
    """
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
    """«An operator may retry; a retry is a new attempt of the same item.»"""
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
    """«`POST /dispense/multi`,»"""
    answer = await field.operator.post("/api/dispense/multi", json={"order_id": ORDER})
    assert answer.status_code == 200
    assert answer.json()["total_items"] == 1
    assert [each["slot"] for each in answer.json()["commands"]] == [1]


async def test_the_status_and_the_logs_can_be_read(field: Field) -> None:
    """«`GET /dispense/status/:order_id`, `GET /dispense/logs/:machine_id?limit&offset`.»"""
    await trigger(field, ORDER)
    await field.answer(ORDER, success=False, error="JAM", durationMs=5)
    answer = await field.operator.get(f"/api/dispense/status/{ORDER}")
    assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
    assert answer.json()["dispense_log"]["error_message"] == "JAM"
    assert answer.json()["order_id"] == ORDER
    machine_id = "VM01"
    answer = await field.operator.get(f"/api/dispense/logs/{machine_id}?limit=1&offset=0")
    assert (answer.json()["total"], answer.json()["logs"][0]["order_id"]) == (1, ORDER)


async def test_while_the_broker_is_away_the_order_waits(lonely_field: Field) -> None:
    """«503 and PENDING_DISPENSE if the broker is away.»"""
    lonely_field.health.connected = False
    status, answer = await trigger(lonely_field, ORDER)
    assert (status, answer["status"]) == (503, "PENDING_DISPENSE")
    assert await lonely_field.status(ORDER) == "PENDING_DISPENSE"


async def test_a_confirmation_has_all_that_a_result_has(field: Field) -> None:
    """«`POST /dispense/confirm
    {order_id,slot_number,success,drop_detected,duration_ms,error_message}`»
    """
    await trigger(field, ORDER)
    body = {"order_id": ORDER, "slot_number": 1, "success": True, "drop_detected": False}
    body |= {"duration_ms": 1850, "error_message": "nothing fell"}
    answer = await field.operator.post("/api/dispense/confirm", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
    (log,) = await field.rows("SELECT * FROM dispense_logs")
    assert (log["drop_detected"], log["duration_ms"]) == (0, 1850)
    assert log["error_message"] == "nothing fell"
