"""Signing in, figures, telemetry over HTTP, and what exists in development only."""

import pytest

from fleetwire.apps.vending import configure
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import SettingsError, instants
from tests.apps.vending.field import ORDER, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_service_is_there(field: Field) -> None:
    """«`GET /health` (no `/api`, open) → `{status:"OK",timestamp,version}`.»

    «A root that two contracts share (`/health`»
    """
    answer = await field.kiosk.get("/health")
    assert answer.json()["status"] == "OK"
    assert set(answer.json()) == {"status", "timestamp", "version"}
    assert (await field.kiosk.get("/api/health")).status_code == 404


async def test_a_person_signs_in_by_name_or_address(field: Field) -> None:
    """«`POST /auth/login {username|email,password}` → `{token,user{id,username,email,role}}`;»
    «`GET /auth/me`.»
    """
    assert field.hub.house.administrator is not None
    username, password = field.hub.house.administrator
    for body in (
        {"username": username, "password": password},
        {"email": "admin@fleetwire.local", "password": password},
    ):
        answer = await field.kiosk.post("/api/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["user"]) == {"id", "username", "email", "role"}
    # `GET /auth/me`
    me = field.hub.http(token=answer.json()["token"])
    assert (await me.get("/api/auth/me")).json()["user"]["username"] == username
    answer = await field.kiosk.post(
        "/api/auth/login", json={"username": username, "password": "wrong"}
    )
    assert (answer.status_code, set(answer.json())) == (401, {"error"})
    assert (await field.kiosk.post("/api/auth/login", json={"password": "x"})).status_code == 400


async def test_a_wrong_machine_credential_is_401(field: Field) -> None:
    answer = await field.kiosk.post(
        "/api/auth/machine", json={"machine_id": "VM01", "token": "wrong"}
    )
    assert answer.status_code == 401


async def test_the_sum_of_sales(field: Field) -> None:
    """«`GET /finance/summary` →
    `{totalRevenue,totalTransactions,averageOrderValue,recentTransactions,monthlyData,salesToday,percentageChange}`.»
    """
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await field.answer(ORDER)
    partly = await field.paid((2, 1), (3, 1))
    await field.answer(partly, slot=2)
    await field.answer(partly, slot=3, success=False)
    failed = await field.paid((4, 1))
    await field.answer(failed, success=False)
    await field.paid_at(instants.now())  # months and days are those of the wall clock
    found = (await field.operator.get("/api/finance/summary")).json()
    assert (found["totalRevenue"], found["totalTransactions"]) == (12_000, 2)
    assert found["averageOrderValue"] == 6000
    assert {each["order_id"] for each in found["recentTransactions"]} == {ORDER, partly}
    assert len(found["monthlyData"]) == 12
    assert sum(month["revenue"] for month in found["monthlyData"]) == 12_000
    assert found["salesToday"] == 12_000
    assert found["percentageChange"] is None  # nothing to compare with


async def test_telemetry_comes_by_http_as_by_mqtt(field: Field) -> None:
    """«`POST /telemetry {machine_id,data{}}`, `GET
    /telemetry/:id?limit&offset&start_time&end_time`, `/latest`, `/summary?period`;»
    """
    for at, temperature in ((1_769_860_800, 3), (1_769_860_860, 5)):
        answer = await field.operator.post(
            "/api/telemetry",
            json={"machine_id": "VM01", "data": {"timestamp": at, "temperature": temperature}},
        )
        assert answer.status_code == 200, answer.text
    found = (await field.operator.get("/api/telemetry/VM01?limit=1")).json()
    assert [row["temperature"] for row in found["telemetry"]] == [5]
    found = (await field.operator.get("/api/telemetry/VM01?limit=1&offset=1")).json()
    assert [row["temperature"] for row in found["telemetry"]] == [3]
    found = (
        await field.operator.get(
            "/api/telemetry/VM01",
            params={"start_time": "2026-01-31T12:00:00Z", "end_time": "1769860830"},
        )
    ).json()
    assert [row["temperature"] for row in found["telemetry"]] == [3]
    found = (await field.operator.get("/api/telemetry/VM01/latest")).json()
    assert found["latest"]["timestamp"] == "2026-01-31T12:01:00.000Z"
    assert (await field.operator.get("/api/telemetry/VM01/summary?period=7d")).status_code == 200
    answer = await field.operator.post(
        "/api/telemetry", json={"machine_id": "VM01", "data": {"door": "AJAR"}}
    )
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, "door")
    answer = await field.operator.post("/api/telemetry", json={"machine_id": "x", "data": {}})
    assert answer.status_code == 404


async def test_temperatures_are_listed_oldest_first(field: Field) -> None:
    """«`POST /temperature/log {machine_id,value,humidity}`, `GET /temperature/:id?limit=24`
    oldest first;»
    """
    for value, humidity in ((0, None), (1.5, 60), (2.5, 61)):
        answer = await field.operator.post(
            "/api/temperature/log",
            json={"machine_id": "VM01", "value": value, "humidity": humidity},
        )
        assert answer.status_code == 200
    found = (await field.operator.get("/api/temperature/VM01?limit=2")).json()
    assert [row["value"] for row in found["data"]] == [1.5, 2.5]
    found = (await field.operator.get("/api/temperature/VM01")).json()
    assert (found["data"][0]["value"], found["data"][0]["humidity"]) == (0, None)


async def test_machine_data_is_the_same_by_another_name(field: Field) -> None:
    """«`POST /machine-data …`, `GET /machine-data/{latest,today,machine/:id,stats/:id}`;»"""
    await field.operator.post("/api/machine-data", json={"machine_id": "VM01", "temperature": 4})
    for path in ("latest", "machine/VM01"):
        found = (await field.operator.get(f"/api/machine-data/{path}")).json()
        assert [row["temperature"] for row in found["data"]] == [4], path
    assert (await field.operator.get("/api/machine-data/today")).json()["success"]
    assert (await field.operator.get("/api/machine-data/stats/VM01")).json()["data"]["count"] >= 0


async def test_while_developing_an_order_can_be_paid_and_answered(field: Field) -> None:
    """«`POST /debug/update-payment/:orderId {status}`, `GET /debug/order/:id`,»
    «`POST /debug/mqtt/simulate-dispense-result`.»
    """
    order_id = await field.order(2)
    answer = await field.kiosk.post(
        f"/api/debug/update-payment/{order_id}", json={"status": "PAID"}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "DISPENSING")
    answer = await field.kiosk.post(
        "/api/debug/mqtt/simulate-dispense-result", json={"orderId": order_id, "success": True}
    )
    assert answer.json()["status"] == "COMPLETED"
    found = (await field.kiosk.get(f"/api/debug/order/{order_id}")).json()
    assert found["attempts"][0]["success"] is True


async def test_while_developing_a_machine_can_be_tried(field: Field) -> None:
    """«`GET /debug/mqtt/status` → `{success,mqtt{connected,broker,machineId}}`, `POST
    /debug/mqtt/test-command`,»
    """
    answer = await field.kiosk.get("/api/debug/mqtt/status")
    assert answer.json() == {
        "success": True,
        "mqtt": {"connected": True, "broker": "embedded", "machineId": "VM01"},
    }
    answer = await field.kiosk.post("/api/debug/mqtt/test-command", json={"slot": 2})
    assert answer.status_code == 200, answer.text
    (command,) = await field.commands(1)
    assert (command["cmd"], command["slot"]) == ("dispense", 2)


async def test_debug_routes_exist_in_development_only(field: Field) -> None:
    """«Development mode only:»"""
    paths = {route.path for router in field.app.routers for route in router.routes}  # type: ignore[attr-defined]
    debug = {route.path for router in field.app.debug_routers for route in router.routes}  # type: ignore[attr-defined]
    assert not any("debug" in path for path in paths)
    assert len(debug) == 5


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"PAYMENT_GATEWAY": "paypal"}, "PAYMENT_GATEWAY"),
        ({"PAYMENT_GATEWAY": "midtrans"}, "MIDTRANS_SERVER_KEY"),
        ({"VENDING_RESULT_WAIT_S": "soon"}, "VENDING_RESULT_WAIT_S"),
        ({"MIDTRANS_URL": "ftp://x"}, "MIDTRANS_URL"),
    ],
)
async def test_a_wrong_setting_is_named(settings: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        configure(settings)


async def test_the_environment_of_the_field_is_taken(field: Field) -> None:
    """«Environment: `MQTT_BROKER_URL`, `MQTT_USERNAME=vending_admin`, `MQTT_PASSWORD`,
    `MACHINE_ID=VM01` (optional: all machines are served).»
    """
    environment = {
        "MQTT_BROKER_URL": "mqtt://localhost:1883", "MQTT_USERNAME": "vending_admin",
        "MQTT_PASSWORD": "secret", "MACHINE_ID": "VM01",
    }  # fmt: skip
    assert configure(environment).subscriptions == configure({}).subscriptions
    terms = Terms.of(environment)
    assert (terms.broker_url, terms.machine_id) == ("mqtt://localhost:1883", "VM01")
    other = await field.hub.device("VM02")
    assert (await other.send("vm/VM02/telemetry", {"temperature": 4})).is_stored
    other.disconnect()


async def test_the_listener_is_the_field_s(field: Field) -> None:
    """«listener 3001, base `/api`»"""
    assert field.app.listener is not None
    assert field.app.listener.port == 3001
    paths = {route.path for router in field.app.routers for route in router.routes}  # type: ignore[attr-defined]
    others = {path for path in paths if not path.startswith("/api/")}
    assert others == {"/health", "/ws/order:{order_id}"}
