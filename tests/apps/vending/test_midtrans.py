"""Midtrans over HTTP, against a server that answers in its recorded shapes."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleetwire.apps.vending.errors import GatewayError
from fleetwire.apps.vending.gateways import Midtrans
from fleetwire.apps.vending.terms import Terms
from fleetwire.testing import TestHub
from tests.apps.vending.field import KEY, Field
from tests.apps.vending.midtrans_server import MidtransServer


@pytest.fixture
def midtrans() -> Iterator[MidtransServer]:
    server = MidtransServer(KEY)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def paying_field(midtrans: MidtransServer, tmp_path: Path) -> AsyncIterator[Field]:
    field = Field(gateway="midtrans", midtrans_url=midtrans.url, midtrans_snap_url=midtrans.url)
    hub = TestHub(field.app, folder=tmp_path, demo=True)
    try:
        await field.open(hub)
        await field.begin(is_connected=True)
        yield field
    finally:
        await hub.__aexit__(None, None, None)


async def test_an_order_through_midtrans(paying_field: Field, midtrans: MidtransServer) -> None:
    """«The gateway is an interface: `midtrans` (real HTTP API) and `sandbox` (built in: a page
    to pay or refuse, for development and tests).»
    """
    field = paying_field
    answer = await field.kiosk.post(
        "/api/orders", json={"slot_id": 2, "quantity": 2, "payment_method": "qris"}
    )
    assert answer.status_code == 201, answer.text
    order = answer.json()
    order_id = order["order_id"]
    assert order["qr_string"].startswith("000201")
    assert order["payment_url"].endswith("/qr-code")
    path, body = midtrans.requests[0]
    assert path == "/v2/charge"
    assert body["transaction_details"] == {"order_id": order_id, "gross_amount": 14_000}
    assert body["item_details"][0]["quantity"] == 2
    assert body["custom_expiry"] == {"expiry_duration": 15, "unit": "minute"}

    # `POST /payments/verify/:id` asks the gateway.
    answer = await field.kiosk.post(f"/api/payments/verify/{order_id}")
    assert (answer.json()["status"], answer.json()["order_status"]) == ("PENDING", "PENDING")
    midtrans.pay(order_id)
    for _ in range(2):
        answer = await field.kiosk.post(f"/api/payments/verify/{order_id}")
        assert answer.json()["status"] == "PAID"
    await field.commands(1)
    await field.answer(order_id, success=False)
    answer = await field.operator.post(f"/api/payments/refund/{order_id}")
    assert answer.json()["order_status"] == "REFUNDED"
    assert midtrans.requests[-1] == (
        f"/v2/{order_id}/refund",
        {"refund_key": f"refund-{order_id}", "amount": 14_000, "reason": "not dispensed"},
    )


async def test_other_methods_are_paid_on_its_snap_page(
    paying_field: Field, midtrans: MidtransServer
) -> None:
    order_id = await paying_field.order(2, payment_method="gopay")
    order = (await paying_field.kiosk.get(f"/api/orders/{order_id}")).json()
    assert order["payment_token"] == f"snap-{order_id}"
    assert order["payment_url"].startswith("https://app.sandbox.midtrans.com/snap/")
    assert midtrans.requests[0][1]["enabled_payments"] == ["gopay"]
    answer = await paying_field.kiosk.post(f"/api/payments/cancel/{order_id}")
    assert answer.status_code == 200
    assert midtrans.requests[-1][0] == f"/v2/{order_id}/cancel"
    # There is no page to pay in a sandbox beside a real gateway.
    answer = await paying_field.kiosk.get(f"/api/payments/sandbox/{order_id}")
    assert answer.status_code == 404


async def test_a_gateway_that_fails_leaves_nothing_reserved(
    paying_field: Field, midtrans: MidtransServer
) -> None:
    midtrans.is_broken = True
    answer = await paying_field.kiosk.post(
        "/api/orders", json={"slot_id": 2, "payment_method": "qris"}
    )
    assert (answer.status_code, set(answer.json())) == (502, {"error"})
    assert await paying_field.stock(2) == (10, 0)
    assert await paying_field.one("SELECT status FROM orders WHERE id LIKE 'ORD-%'") == "CANCELLED"


async def test_a_wrong_key_is_told(midtrans: MidtransServer) -> None:
    terms = Terms(server_key="wrong", midtrans_url=midtrans.url, midtrans_snap_url=midtrans.url)
    with pytest.raises(GatewayError, match="401"):
        await Midtrans(terms).look_up("x")
    assert await Midtrans(replace(terms, server_key=KEY)).look_up("x") is None


async def test_a_gateway_that_is_away_is_told() -> None:
    terms = Terms(server_key="k", midtrans_url="http://127.0.0.1:1")
    with pytest.raises(GatewayError, match="does not answer"):
        await Midtrans(terms).look_up("x")
