"""Who may what: forged, foreign and too weak callers are refused, and nothing is changed."""

import pytest

from fleetwire.kit import People
from tests.apps.vending.field import ORDER, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUARDED = [
    ("GET", "/api/orders/machine/VM01"),
    ("GET", "/api/stock/VM01"),
    ("GET", "/api/stock/logs/VM01"),
    ("GET", "/api/machines"),
    ("GET", "/api/machines/VM01"),
    ("GET", "/api/machines/VM01/stats"),
    ("GET", "/api/telemetry/VM01"),
    ("GET", "/api/telemetry/VM01/latest"),
    ("GET", "/api/telemetry/VM01/summary"),
    ("GET", "/api/temperature/VM01"),
    ("GET", "/api/machine-data/latest"),
    ("GET", "/api/machine-data/today"),
    ("GET", "/api/machine-data/machine/VM01"),
    ("GET", "/api/machine-data/stats/VM01"),
    ("GET", "/api/finance/summary"),
    ("GET", "/api/auth/me"),
]
OPEN = [
    "/health", "/api/products", "/api/products/all", "/api/products/available",
    f"/api/orders/{ORDER}", f"/api/payments/{ORDER}",
]  # fmt: skip


async def viewer(field: Field) -> str:
    """Return a token of somebody who may look only."""
    people = field.hub.service(People)  # type: ignore[type-abstract]  # by interface
    password = "correct horse battery"
    assert field.hub.house.administrator is not None
    owner = (await people.sign_in(*field.hub.house.administrator, "test")).caller
    await people.create(
        owner, username="viewer", password=password, role="viewer", email="viewer@example.org"
    )
    return (await people.sign_in("viewer", password, "test")).token


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_everything_else_needs_a_credential(field: Field, method: str, path: str) -> None:
    """«HTTP, listener 3001, base `/api`, errors `{error, details?}`»
    «everything else needs an operator's or service's credential.»
    """
    answer = await field.kiosk.request(method, path)
    assert answer.status_code == 401
    assert set(answer.json()) <= {"error", "details"}
    assert (await field.operator.request(method, path)).status_code == 200


@pytest.mark.parametrize("path", OPEN)
async def test_the_shop_is_open(field: Field, path: str) -> None:
    """«Who may: the shop's routes (products, available, create an order, read one order by its
    id, pay) are open and rate-limited, since the kiosk has no»
    """
    assert (await field.kiosk.get(path)).status_code == 200


async def test_a_viewer_triggers_nothing(field: Field) -> None:
    # A viewer triggering a dispense: refused, audited, nothing changed
    http = field.hub.http(token=await viewer(field))
    before = await field.everything()
    for path, action in (
        ("trigger", "dispense.trigger"),
        ("multi", "dispense.trigger"),
        ("retry", "dispense.retry"),
        ("confirm", "dispense.confirm"),
    ):
        body = {"order_id": ORDER, "success": True}
        answer = await http.post(f"/api/dispense/{path}", json=body)
        assert answer.status_code == 403, path
        assert (await field.audited(action))[-1] == {
            "actor": "account:2", "subject": f"order:{ORDER}", "outcome": "refused",
        }  # fmt: skip
    assert len(await field.audited("dispense.trigger")) == 2
    for method, path, body in (
        ("POST", "/api/stock/update", {"slot_id": 1, "quantity": 1, "change_type": "REMOVE"}),
        ("POST", "/api/products", {"name": "x", "price": 1}),
        ("PUT", "/api/machines/VM01/config", {"motorTimeout": 1}),
        ("POST", f"/api/payments/refund/{ORDER}", {}),
        ("POST", "/api/machines/VM01/status", {"status": "MAINTENANCE"}),
        ("POST", "/api/machines", {"machine_id": "VM09"}),
    ):
        assert (await http.request(method, path, json=body)).status_code == 403, path
    assert await field.everything() == before
    assert field.vm.received == []


async def test_in_development_the_documented_curl_needs_no_credential(field: Field) -> None:
    """«On loopback in development the dispense routes accept no credential, so that the
    documented curl works.»
    """
    answer = await field.kiosk.post(
        "/api/dispense/trigger",
        content='{"order_id":"test-order-123"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},  # as curl -d says
    )
    assert answer.status_code == 200


async def test_through_a_proxy_a_trigger_needs_a_credential(field: Field) -> None:
    answer = await field.kiosk.post(
        "/api/dispense/trigger",
        json={"order_id": ORDER},
        headers={"X-Forwarded-For": "203.0.113.7"},
    )
    assert answer.status_code == 401
    assert await field.status(ORDER) == "PAID"


async def test_a_page_in_a_browser_cannot_send_json_as_a_form(field: Field) -> None:
    answer = await field.kiosk.post(
        "/api/dispense/trigger",
        content='{"order_id":"test-order-123"}',
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": "https://example.org",
        },
    )
    assert answer.status_code == 401  # and its JSON would be a form, which is 400
    assert await field.status(ORDER) == "PAID"


@pytest.mark.parametrize("leaf", ["status", "telemetry", "dispense_result"])
async def test_a_machine_cannot_speak_as_another(field: Field, leaf: str) -> None:
    # A machine publishing as another machine: refused, nothing changed
    other = await field.hub.device("VM02")
    await field.hub.settle()
    before = await field.everything()
    body = {"orderId": ORDER, "success": True, "status": "MAINTENANCE", "temperature": 99}
    outcome = await other.send(f"vm/VM01/{leaf}", body)
    assert not outcome.is_stored
    assert len(await field.quarantined()) == 1
    assert await field.everything() == before
    other.disconnect()


async def test_a_machine_cannot_speak_as_another_over_http(field: Field) -> None:
    answer = await field.operator.post("/api/machines", json={"machine_id": "VM02"})
    login = {"machine_id": "VM02", "token": answer.json()["mqtt"]["password"]}
    token = (await field.kiosk.post("/api/auth/machine", json=login)).json()["token"]
    other = field.hub.http(token=token)
    before = await field.everything()
    for path, body in (
        ("/api/telemetry", {"machine_id": "VM01", "data": {"temperature": 99}}),
        ("/api/machine-data", {"machine_id": "VM01", "temperature": 99}),
        ("/api/temperature/log", {"machine_id": "VM01", "value": 99}),
        ("/api/stock/report/VM01", {"slots": [{"slot_number": 1, "level": "EMPTY"}]}),
    ):
        assert (await other.post(path, json=body)).status_code == 403, path
    assert await field.audited("message.publish") == 4 * [
        {"actor": "device:vending/VM02", "subject": "machine:VM01", "outcome": "refused"}
    ]
    body = {"order_id": ORDER, "success": True}
    for path in ("trigger", "confirm"):
        assert (await other.post(f"/api/dispense/{path}", json=body)).status_code == 403, path
        (line,) = await field.audited(f"dispense.{path}")
        assert (line["actor"], line["outcome"]) == ("device:vending/VM02", "refused")
    assert await field.everything() == before


async def test_a_machine_cannot_close_another_s_order(field: Field) -> None:
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    other = await field.hub.device("VM02")
    outcome = await other.send("vm/VM02/dispense_result", {"orderId": ORDER, "success": True})
    assert (outcome.is_stored, outcome.field) == (False, "orderId")
    assert await field.status(ORDER) == "DISPENSING"
    other.disconnect()


async def test_a_machine_s_rights_are_its_own_topics(field: Field) -> None:
    """«ACL: a machine's credential may publish only its own `telemetry, status, dispense_result`
    and read only its own `command, dispend, config`;»
    """
    assert field.app.publishes == [
        "vm/{device_id}/telemetry", "vm/{device_id}/status", "vm/{device_id}/dispense_result",
    ]  # fmt: skip
    assert field.app.subscribes == [
        "vm/{device_id}/command", "vm/{device_id}/dispend", "vm/{device_id}/config",
    ]  # fmt: skip


async def test_too_many_orders_of_one_address_are_refused(field: Field) -> None:
    body = {"slot_id": 99, "payment_method": "qris"}
    statuses = []
    for _ in range(100):
        answer = await field.kiosk.post("/api/orders", json=body)
        statuses.append(answer.status_code)
        if answer.status_code == 429:
            break
    assert statuses[-1] == 429
    assert answer.headers["Retry-After"]
    assert "error" in answer.json()
