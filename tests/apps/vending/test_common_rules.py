"""What holds for all contracts, shown on vending machines."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleetwire.apps.vending import create
from fleetwire.apps.vending.tables import metadata
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import Devices, Store
from fleetwire.testing import TestHub
from tests.apps.vending.field import ORDER, Field

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON_AT = 1_769_860_800_000_000


@pytest.mark.parametrize(
    "said", [1_769_860_800, "1769860800", 1_769_860_800_000, "2026-01-31T12:00:00Z"]
)
async def test_a_time_may_be_said_in_any_form(field: Field, said: object) -> None:
    """«times as ISO 8601 or epoch (s or ms)»"""
    body = {"timestamp": said, "temperature": "0"}
    assert (await field.vm.send("vm/{device_id}/telemetry", body)).is_stored
    (row,) = await field.rows("SELECT at, temperature FROM machine_telemetry")
    assert row == {"at": NOON_AT, "temperature": 0.0}
    assert datetime.fromtimestamp(NOON_AT / 1e6, UTC).hour == 12


async def test_what_cannot_be_taken_is_a_record_with_its_reason(field: Field) -> None:
    """«A message that cannot be accepted becomes a quarantine record (topic, payload, sender,
    reason, time)»
    """
    outcome = await field.vm.send("vm/{device_id}/telemetry", {"door": "AJAR"})
    assert not outcome.is_stored
    found: list[dict[str, Any]] = await field.rows(
        "SELECT topic, payload, identity, reason, received_at FROM quarantine "
        "ORDER BY id DESC LIMIT 1"
    )
    assert found == [
        {
            "topic": "vm/VM01/telemetry",
            "payload": b'{"door":"AJAR"}',
            "identity": "device:vending/VM01",
            "reason": "door must be OPEN or CLOSED",
            "received_at": field.hub.clock(),
        }
    ]


async def test_delivered_is_what_the_machine_acknowledged(field: Field) -> None:
    """«`delivered` only on the device's PUBACK.»"""
    field.vm.is_deaf = True
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await field.sent()
    state = "SELECT state FROM commands"
    assert await field.one(state) == "sent"
    field.vm.is_deaf = False
    await field.operator.post("/api/debug/mqtt/test-command", json={"slot": 2})
    await field.hub.event("command.delivered")
    states = await field.rows("SELECT state FROM commands ORDER BY created_at, state DESC")
    assert [row["state"] for row in states] == ["sent", "delivered"]
    await field.answer(ORDER)
    assert await field.one(f"{state} WHERE state <> 'delivered'") == "succeeded"


async def test_a_command_is_a_record_with_its_deadline(field: Field) -> None:
    """«A command is a record: id, deadline, attempts, state»"""
    await field.operator.post("/api/dispense/trigger", json={"order_id": ORDER})
    await field.hub.event("command.delivered")
    (command,) = await field.rows(
        "SELECT id, expires_at, created_at, attempts, state FROM commands"
    )
    assert command["expires_at"] - command["created_at"] == 300_000_000
    assert (command["attempts"], command["state"]) == (1, "delivered")
    assert await field.one("SELECT command_id FROM dispense_logs") == command["id"]
    await field.pass_time(60)
    assert await field.one("SELECT state FROM commands") == "failed"


async def test_without_a_demonstration_there_is_none(tmp_path: Path) -> None:
    """«Demo credentials written in a contract exist only when demo data is asked for»"""
    async with TestHub(create(Terms()), folder=tmp_path) as hub:
        store = hub.service(Store)  # type: ignore[type-abstract]  # by interface
        for table in metadata.sorted_tables:
            rows = await store.read(lambda c, table=table: c.execute(table.select()).all())  # type: ignore[misc]
            assert rows == [], table.name
        assert hub.service(Devices).find("vending", "VM01") is None  # type: ignore[type-abstract]
