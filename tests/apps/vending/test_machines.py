"""What machines say of themselves, and how they are set up."""

import jwt
import pytest

from fleetwire.kit import Intake
from tests.apps.vending.field import ORDER, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")

TELEMETRY = "vm/{device_id}/telemetry"
STATUS = "vm/{device_id}/status"


async def machine(field: Field) -> dict[str, object]:
    (row,) = await field.rows("SELECT * FROM machines")
    return row


async def test_telemetry_becomes_rows_and_levels_beside_the_count(field: Field) -> None:
    """«`vm/{id}/telemetry` up | `timestamp, slots:[{id,level FULL»
    «slot level is stored beside the counted stock and raises a mismatch alarm,»
    """
    outcome = await field.vm.send(
        TELEMETRY,
        {
            "timestamp": 1_769_860_800,
            "slots": [{"id": 1, "level": "FULL"}, {"id": 2, "level": "low"}],
            "temperature": 4.5,
            "humidity": 60,
            "door": "CLOSED",
            "rssi": -65,
            "fw": "1.0.0",
        },
    )
    assert outcome.is_stored
    (row,) = await field.rows("SELECT * FROM machine_telemetry")
    assert (row["temperature"], row["humidity"], row["rssi"]) == (4.5, 60, -65)
    assert row["at"] == 1_769_860_800_000_000
    rows = await field.rows("SELECT level, current_stock FROM slots WHERE slot_number < 3")
    assert [tuple(each.values()) for each in rows] == [("FULL", 10), ("LOW", 10)]
    # … and raises a mismatch alarm
    assert await field.alarms() == ["stock_mismatch"]


async def test_every_level_and_both_doors_are_known(field: Field) -> None:
    """«level FULL»"""
    for level, door in (
        ("FULL", "OPEN"), ("HIGH", "CLOSED"), ("MEDIUM", "OPEN"), ("LOW", "CLOSED"),
        ("EMPTY", "OPEN"),
    ):  # fmt: skip
        body = {"slots": [{"id": 1, "level": level}], "door": door}
        assert (await field.vm.send(TELEMETRY, body)).is_stored
        assert await field.one("SELECT level FROM slots WHERE slot_number = 1") == level
        assert (await machine(field))["door"] == door


async def test_a_mismatch_is_told_once(field: Field) -> None:
    for _ in range(3):
        await field.vm.send(TELEMETRY, {"slots": [{"id": 2, "level": "EMPTY"}]})
    assert await field.alarms() == ["stock_mismatch"]


async def test_a_level_is_the_count_where_the_machine_is_set_so(field: Field) -> None:
    """«it overwrites the count only if the machine is set to `stock_source=level` (10/8/5/2/0
    scaled to capacity)»
    """
    await field.operator.post("/api/machines", json={"machine_id": "VM02", "stock_source": "level"})
    for number, capacity in ((1, 10), (2, 20)):
        answer = await field.operator.post(
            "/api/machines/VM02/slots/assign",
            json={"slot_number": number, "product_id": 1, "capacity": capacity},
        )
        assert answer.status_code == 200
    other = await field.hub.device("VM02")
    levels = [{"id": 1, "level": "MEDIUM"}, {"id": 2, "level": "HIGH"}]
    await other.send(TELEMETRY, {"slots": levels})
    rows = await field.rows("SELECT current_stock FROM slots WHERE machine_id = 'VM02'")
    assert [row["current_stock"] for row in rows] == [5, 16]
    assert await field.alarms() == []


@pytest.mark.parametrize("name", ["temperature", "temp", "value"])
async def test_zero_degrees_is_a_value_and_no_humidity_stays_null(field: Field, name: str) -> None:
    """«temperature log (0 °C is a value; no humidity stays null);»"""
    await field.vm.send(TELEMETRY, {name: 0})
    (row,) = await field.rows("SELECT value, humidity FROM temperature_logs")
    assert row == {"value": 0.0, "humidity": None}


async def test_what_is_not_said_keeps_its_last_value(field: Field) -> None:
    """«Unsent fields keep their last value.»"""
    await field.vm.send(TELEMETRY, {"temperature": 4, "humidity": 50, "door": "OPEN", "rssi": -60})
    await field.vm.send(STATUS, {"status": "ONLINE"})
    row = await machine(field)
    assert (row["temperature"], row["humidity"], row["door"], row["rssi"]) == (4, 50, "OPEN", -60)


@pytest.mark.parametrize(
    ("body", "field_at_fault"),
    [
        ({"temperature": "warm"}, "temperature"),
        ({"temperature": 1e9}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"humidity": 101}, "humidity"),
        ({"door": "AJAR"}, "door"),
        ({"slots": {"1": "FULL"}}, "slots"),
        ({"slots": [{"id": 1, "level": "BRIMMING"}]}, "slots.0"),
        ({"slots": [{"level": "FULL"}]}, "slots.0"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"fw": ["1"]}, "fw"),
    ],
)
async def test_telemetry_that_makes_no_sense_waits_in_quarantine(
    field: Field, body: dict[str, object], field_at_fault: str
) -> None:
    outcome = await field.vm.send(TELEMETRY, body)
    assert (outcome.is_stored, outcome.field) == (False, field_at_fault)
    assert await field.rows("SELECT * FROM machine_telemetry") == []


@pytest.mark.parametrize("said", ["MAINTENANCE", "maintenance", "Maintenance"])
async def test_the_status_may_be_in_any_case(field: Field, said: str) -> None:
    """«`vm/{id}/status` up | `{"status":"ONLINE»"""
    body = {"status": said, "door": "closed", "rssi": -65, "fw": "1.0.0"}
    assert (await field.vm.send(STATUS, body)).is_stored
    row = await machine(field)
    assert (row["status"], row["door"], row["rssi"], row["fw"]) == (
        "MAINTENANCE",
        "CLOSED",
        -65,
        "1.0.0",
    )


async def test_the_phone_app_s_will_does_not_change_the_machine(field: Field) -> None:
    """«A Will `{"status":"offline"}` from the phone app (a client that is not the machine) must
    not change the machine»
    """
    await field.vm.send(STATUS, {"status": "ONLINE"})
    answer = await field.operator.post("/api/machines/VM01/status", json={"status": "ONLINE"})
    assert answer.status_code == 200
    intake = field.hub.service(Intake)  # type: ignore[type-abstract]  # by interface
    outcome = await intake.receive(
        field.hub.caller, "vm/VM01/status", b'{"status":"offline"}', qos=0
    )
    assert (outcome.is_stored, outcome.field) == (False, "status")
    assert (await machine(field))["status"] == "ONLINE"


async def test_online_follows_the_machine_s_own_session(field: Field) -> None:
    """«Online/offline follows the MQTT session, the Will»"""
    assert (await machine(field))["status"] == "ONLINE"
    field.leave("keep-alive timeout")
    await field.hub.settle()
    row = await machine(field)
    assert (row["status"], row["status_reason"]) == ("OFFLINE", "keep-alive timeout")
    told = (await field.hub.event("machine.status", 2)).body
    assert (told["status"], told["reason"]) == ("OFFLINE", "keep-alive timeout")
    assert told["since"]


async def test_a_configuration_is_wanted_until_the_machine_reports_it(field: Field) -> None:
    """«`vm/{id}/config` down, retained |
    `{"motorTimeout":3000,"dropSensorDelay":50,"telemetryInterval":60000}` | desired
    configuration; what the machine»
    «`PUT /machines/:id/config`,»
    """
    wanted = {"motorTimeout": 3000, "dropSensorDelay": 50, "telemetryInterval": 60_000}
    answer = await field.operator.put("/api/machines/VM01/config", json=wanted)
    assert answer.status_code == 200
    assert answer.json()["config"]["pending"] == wanted
    message = await field.vm.next_message()
    assert (message.topic, message.json()) == ("vm/VM01/config", wanted)
    await field.vm.send(STATUS, {"status": "ONLINE", "config": {"motorTimeout": 3000}})
    await field.vm.send(TELEMETRY, {"dropSensorDelay": 50, "telemetryInterval": 60_000})
    answer = await field.operator.get("/api/machines/VM01")
    assert answer.json()["config"]["in_sync"] is True
    assert len(answer.json()["slots"]) == 6


async def test_a_machine_that_comes_later_finds_its_configuration(lonely_field: Field) -> None:
    await lonely_field.operator.put("/api/machines/VM01/config", json={"motorTimeout": 2500})
    await lonely_field.come()
    message = await lonely_field.vm.next_message()
    assert (message.topic, message.retain) == ("vm/VM01/config", True)


async def test_a_configuration_must_fit_the_machine_s_packets(field: Field) -> None:
    answer = await field.operator.put("/api/machines/VM01/config", json={"x": "y" * 250})
    assert answer.status_code == 400


async def test_machines_are_listed_with_their_state(field: Field) -> None:
    """«`GET /machines`, `GET /machines/:id` (+ slots),»"""
    answer = await field.operator.get("/api/machines")
    (shown,) = answer.json()["machines"]
    assert (shown["id"], shown["status"]) == ("VM01", "ONLINE")


async def test_the_figures_of_a_machine(field: Field) -> None:
    """«`GET /machines/:id/stats?period=1h|24h|7d|30d`,»"""
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await field.answer(ORDER, durationMs=1800)
    answer = await field.operator.get("/api/machines/VM01/stats?period=1h")
    found = answer.json()
    assert found["revenue"] == 5000
    assert found["dispenses"]["success_rate"] == 100.0
    assert found["orders"]["by_status"] == {"COMPLETED": 1}
    assert (await field.operator.get("/api/machines/VM01/stats?period=2h")).status_code == 400


async def test_a_new_machine_gets_the_credential_it_connects_with(field: Field) -> None:
    """«`POST /auth/machine {machine_id,token}` → `{token (JWT 30 d, type
    machine),machine_id,status:"authenticated"}`;»
    """
    answer = await field.operator.post("/api/machines", json={"machine_id": "VM02"})
    assert answer.status_code == 201
    mqtt = answer.json()["mqtt"]
    # `POST /auth/machine {machine_id,token}` → `{token (JWT …),machine_id,status:"authenticated"}`
    answer = await field.kiosk.post(
        "/api/auth/machine", json={"machine_id": "VM02", "token": mqtt["password"]}
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "authenticated"
    assert answer.json()["machine_id"] == "VM02"
    claims = jwt.decode(answer.json()["token"], options={"verify_signature": False})
    assert claims["type"] == "machine"
    assert claims["exp"] - field.hub.clock() / 1e6 == pytest.approx(30 * 86_400, abs=5)
    machine = field.hub.http(token=answer.json()["token"])
    body = {"machine_id": "VM02", "data": {"temperature": 3}}
    assert (await machine.post("/api/telemetry", json=body)).status_code == 200
    body = {"machine_id": "VM01", "data": {"temperature": 3}}
    assert (await machine.post("/api/telemetry", json=body)).status_code == 403
    assert (await machine.get("/api/auth/me")).json()["machine_id"] == "VM02"


async def test_a_slot_of_another_number_is_made(field: Field) -> None:
    """«`POST /machines/:id/slots/assign {slot_id,product_id}`.»"""
    answer = await field.operator.post(
        "/api/machines/VM01/slots/assign", json={"slot_number": 7, "product_id": 2}
    )
    assert answer.status_code == 200
    assert [slot["slot_number"] for slot in answer.json()["slots"]][-1] == 7
    # `POST /machines/:id/slots/assign {slot_id,product_id}`
    answer = await field.operator.post(
        "/api/machines/VM01/slots/assign", json={"slot_id": 1, "product_id": 3}
    )
    assert answer.json()["slots"][0]["product_name"] == "Coffee in a can"
    answer = await field.operator.post(
        "/api/machines/VM01/slots/assign", json={"slot_id": 1, "product_id": 99}
    )
    assert answer.status_code == 404


async def test_telemetry_is_kept_for_ninety_days(field: Field) -> None:
    await field.vm.send(TELEMETRY, {"temperature": 3})
    field.hub.clock.at += 80 * 86_400_000_000
    await field.vm.send(TELEMETRY, {"temperature": 4})
    await field.pass_time(11 * 86_400)
    await field.hub.advance(600)
    rows = await field.rows("SELECT temperature FROM machine_telemetry")
    assert [row["temperature"] for row in rows] == [4]
    rows = await field.rows("SELECT value FROM temperature_logs")
    assert [row["value"] for row in rows] == [4]


@pytest.mark.parametrize("said", ["MAINTENANCE", "offline"])
async def test_a_person_says_how_a_machine_is(field: Field, said: str) -> None:
    """«`POST /machines/:id/status`»"""
    answer = await field.operator.post("/api/machines/VM01/status", json={"status": said})
    assert (answer.status_code, answer.json()["status"]) == (200, said.upper())
    assert (await machine(field))["status_reason"] == "account:1"
    answer = await field.operator.post("/api/machines/VM01/status", json={"status": "LOST"})
    assert (answer.status_code, answer.json()["details"]["field"]) == (400, "status")


async def test_a_machine_says_that_it_goes_and_comes(field: Field) -> None:
    for said in ("ONLINE", "OFFLINE", "ONLINE"):
        assert (await field.vm.send(STATUS, {"status": said})).is_stored
        assert (await machine(field))["status"] == said
