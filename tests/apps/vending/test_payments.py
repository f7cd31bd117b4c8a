"""Payments: what gateways say counts once, and only if it is theirs."""

import json
from hashlib import sha512

import pytest

from fleetwire.apps.vending import gateways
from tests.apps.vending.field import KEY, ORDER, Field, notification

pytestmark = pytest.mark.asyncio(loop_scope="module")

ID = "ORD-20260101-AAAAAAAA"


async def test_a_paid_order_is_dispensed_once(field: Field) -> None:
    """«order → payment gateway → `POST /api/payments/webhook` → order PAID → dispense triggered
    once → command → result → COMPLETED | FAILED.»
    «Exactly one dispense per paid item, however many of webhook, kiosk and operator trigger
    it.»
    «idempotent by transaction id.»
    «200 `{status:"OK",message}`, 400 missing fields.»
    """
    order_id = await field.order(2)
    for _ in range(3):
        answer = await field.notify(order_id)
        # 200 `{status:"OK",message}`
        assert answer.status_code == 200
        assert answer.json()["status"] == "OK"
        assert answer.json()["message"]
    assert await field.status(order_id) == "DISPENSING"
    (command,) = await field.commands(1)
    assert command["orderId"] == order_id
    assert len(await field.rows("SELECT * FROM dispense_logs")) == 1
    (payment,) = await field.rows("SELECT * FROM payments")
    assert (payment["status"], payment["amount"]) == ("PAID", 7000)
    assert payment["gateway_name"] == "sandbox"
    assert payment["gateway_transaction_id"] == f"tx-{order_id}"
    assert "settlement" in payment["raw_response"]


@pytest.mark.parametrize(
    ("said", "payment", "order"),
    [
        ("capture", "PAID", "DISPENSING"),
        ("settlement", "PAID", "DISPENSING"),
        ("pending", "PENDING", "PENDING"),
        ("deny", "FAILED", "FAILED"),
        ("cancel", "FAILED", "FAILED"),
        ("expire", "FAILED", "FAILED"),
    ],
)
async def test_what_each_saying_means(field: Field, said: str, payment: str, order: str) -> None:
    """«capture/settlement → PAID, pending → PENDING, deny/cancel/expire → FAILED;»"""
    order_id = await field.order(2)
    assert (await field.notify(order_id, said)).status_code == 200
    assert await field.one("SELECT status FROM payments") == payment
    assert await field.status(order_id) == order
    assert await field.stock(2) == ((10, 0) if order == "FAILED" else (10, 1))


async def test_a_capture_under_suspicion_is_not_paid_yet(field: Field) -> None:
    order_id = await field.order(2)
    await field.notify(order_id, "capture", fraud_status="challenge")
    assert await field.status(order_id) == "PENDING"


async def test_a_forged_webhook_changes_nothing_and_is_on_record(field: Field) -> None:
    """«the webhook is guarded by its signature;»"""
    order_id = await field.order(2)
    before = await field.everything()
    answer = await field.notify(order_id, signature_key="0" * 128)
    assert answer.status_code == 403
    assert set(answer.json()) == {"error"}
    assert await field.everything() == before
    assert field.vm.received == []
    assert await field.audited("payment.notify") == [
        {"actor": "anonymous", "subject": f"order:{order_id}", "outcome": "refused"}
    ]


async def test_a_signature_of_another_amount_is_not_taken(field: Field) -> None:
    order_id = await field.order(2)
    signed = notification(order_id, 7000, "settlement")["signature_key"]
    answer = await field.notify(order_id, gross_amount="1.00", signature_key=signed)
    assert answer.status_code == 403


async def test_the_amount_must_match(field: Field) -> None:
    """«amount must match;»"""
    order_id = await field.order(2)
    answer = await field.notify(order_id, gross_amount="6999.00")
    assert answer.status_code == 400
    assert await field.status(order_id) == "PENDING"
    assert len(await field.audited("payment.notify")) == 1


@pytest.mark.parametrize("gross_amount", ["NaN", "Infinity", "abc", "7000.01", "-7000"])
async def test_an_amount_that_is_none_is_refused(field: Field, gross_amount: str) -> None:
    order_id = await field.order(2)
    assert (await field.notify(order_id, gross_amount=gross_amount)).status_code == 400


@pytest.mark.parametrize(
    "missing", ["order_id", "transaction_status", "transaction_id", "status_code", "signature_key"]
)
async def test_missing_fields_are_400(field: Field, missing: str) -> None:
    body = notification(ORDER, 5000, "settlement")
    del body[missing]
    answer = await field.kiosk.post("/api/payments/webhook", json=body)
    assert answer.status_code == 400
    assert answer.json()["missing"] == [missing]


async def test_an_unknown_order_is_404(field: Field) -> None:
    body = notification(ID, 5000, "settlement")
    assert (await field.kiosk.post("/api/payments/webhook", json=body)).status_code == 404


async def test_a_webhook_never_reverses_a_terminal_state(field: Field) -> None:
    """«A terminal state is never reversed by a webhook.»"""
    order_id = await field.paid((2, 1))
    await field.answer(order_id)
    for said in ("deny", "cancel", "expire", "pending"):
        assert (await field.notify(order_id, said)).status_code == 200
        assert await field.status(order_id) == "COMPLETED"
    assert await field.one("SELECT status FROM payments") == "PAID"


async def test_money_for_an_order_that_is_over_is_to_be_paid_back(field: Field) -> None:
    order_id = await field.order(2)
    await field.pass_time(901)
    assert await field.status(order_id) == "EXPIRED"
    assert (await field.notify(order_id)).status_code == 200
    (order,) = await field.rows("SELECT * FROM orders WHERE id = :id", id=order_id)
    assert (order["status"], order["refund_required"], order["refund_amount"]) == (
        "EXPIRED",
        1,
        7000,
    )
    assert await field.alarms() == ["paid_after_end"]
    assert field.vm.received == []


async def test_paying_twice_is_an_alarm(field: Field) -> None:
    order_id = await field.paid((2, 1))
    await field.notify(order_id, transaction_id="another")
    assert await field.alarms() == ["paid_twice"]
    assert len(await field.rows("SELECT * FROM dispense_logs")) == 1


async def test_a_transaction_of_another_order_is_refused(field: Field) -> None:
    await field.paid((2, 1))
    (transaction,) = await field.rows("SELECT gateway_transaction_id AS id FROM payments")
    other = await field.order(2)
    answer = await field.notify(other, transaction_id=transaction["id"])
    assert (answer.status_code, await field.status(other)) == (400, "PENDING")


async def test_what_was_refused_may_be_paid_in_another_way(field: Field) -> None:
    order_id = await field.order(2)
    await field.notify(order_id, "pending", transaction_id="a")
    await field.notify(order_id, "deny", transaction_id="b")
    assert await field.status(order_id) == "PENDING"
    await field.notify(order_id, "settlement", transaction_id="a")
    assert await field.status(order_id) == "DISPENSING"


async def test_a_payment_can_be_read_verified_and_its_method_changed(field: Field) -> None:
    order_id = await field.order(2)
    answer = await field.kiosk.get(f"/api/payments/{order_id}")
    assert (answer.json()["status"], answer.json()["amount"]) == ("PENDING", 7000)
    answer = await field.kiosk.post(f"/api/payments/verify/{order_id}")
    assert (answer.status_code, answer.json()["order_status"]) == (200, "PENDING")
    answer = await field.kiosk.patch(
        f"/api/payments/method/{order_id}", json={"payment_method": "va"}
    )
    assert (answer.json()["payment_method"], answer.json()["qr_string"]) == ("va", None)
    await field.notify(order_id)
    answer = await field.kiosk.patch(
        f"/api/payments/method/{order_id}", json={"payment_method": "qris"}
    )
    assert (answer.status_code, answer.json()["status"]) == (400, "DISPENSING")


async def test_an_unpaid_order_can_be_cancelled_a_paid_one_not(field: Field) -> None:
    """«`POST /payments/cancel/:id` (400 if paid).»"""
    order_id = await field.order(2)
    answer = await field.kiosk.post(f"/api/payments/cancel/{order_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert await field.stock(2) == (10, 0)
    paid = await field.paid((2, 1))
    answer = await field.kiosk.post(f"/api/payments/cancel/{paid}")
    assert (answer.status_code, answer.json()["status"]) == (400, "DISPENSING")


async def test_a_refund_ends_a_failed_order(field: Field) -> None:
    order_id = await field.paid((2, 1))
    answer = await field.operator.post(f"/api/payments/refund/{order_id}")
    assert answer.status_code == 400
    await field.answer(order_id, success=False)
    answer = await field.operator.post(f"/api/payments/refund/{order_id}")
    assert (answer.status_code, answer.json()["order_status"]) == (200, "REFUNDED")
    assert answer.json()["refund_required"] is False
    assert (await field.operator.post(f"/api/payments/refund/{order_id}")).status_code == 400
    assert len(await field.audited("payment.refund")) == 1


async def test_the_sandbox_has_a_page_to_pay_or_refuse(field: Field) -> None:
    paid, refused = await field.order(1), await field.order(2)
    url = (await field.kiosk.get(f"/api/orders/{paid}")).json()["payment_url"]
    page = await field.kiosk.get(url)
    assert page.status_code == 200
    assert "Mineral water" in page.text
    assert 'formaction="?action=pay"' in page.text
    page = await field.kiosk.post(url, params={"action": "pay"})
    assert "DISPENSING" in page.text
    assert "button" not in page.text
    await field.kiosk.post(f"/api/payments/sandbox/{refused}", params={"action": "refuse"})
    assert await field.status(paid) == "DISPENSING"
    assert await field.status(refused) == "FAILED"


async def test_the_webhook_is_taken_in_the_form_of_midtrans(field: Field) -> None:
    """«Webhook: form of Midtrans `{order_id,transaction_status,transaction_id,…signature_key}`»

    «`POST /payments/webhook`»
    """
    order_id = await field.order(2)
    signed = sha512(f"{order_id}2007000.00{KEY}".encode()).hexdigest()  # «SHA-512»
    body = {
        "order_id": order_id, "transaction_status": "settlement", "transaction_id": "9aed5972",
        "payment_type": "gopay", "status_code": "200", "gross_amount": "7000.00",
        "signature_key": signed, "merchant_id": "M1",
    }  # fmt: skip
    answer = await field.kiosk.post("/api/payments/webhook", json=body)
    assert answer.status_code == 200
    (payment,) = await field.rows("SELECT * FROM payments")
    assert (payment["payment_type"], payment["gateway_transaction_id"]) == ("gopay", "9aed5972")
    assert json.loads(payment["raw_response"]) == body  # what we do not know is kept, too


async def test_the_signature_is_compared_in_constant_time(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """«`signature_key` = SHA-512 of order_id+status_code+gross_amount+server key, verified in
    constant time»
    """
    compared = []

    def compare_digest(first: bytes, second: bytes) -> bool:
        compared.append(second)
        return first == second

    monkeypatch.setattr(gateways.hmac, "compare_digest", compare_digest)
    order_id = await field.order(2)
    said = notification(order_id, 7000, "settlement")
    signed = sha512(f"{order_id}{said['status_code']}{said['gross_amount']}{KEY}".encode())
    assert said["signature_key"] == signed.hexdigest()
    for signature_key, status in (("0" * 128, 403), (said["signature_key"], 200)):
        answer = await field.notify(order_id, signature_key=signature_key)
        assert answer.status_code == status
    assert compared == [b"0" * 128, said["signature_key"].encode()]
