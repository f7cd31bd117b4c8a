"""The metrics message."""

from typing import Any

import pytest

from fleetwire.apps.tablets.metrics import latest, receive_metrics
from fleetwire.kit import DomainError, Effect, Reading
from tests.apps.tablets.workshop import AT, Workshop, pushed

BODY: dict[str, Any] = {
    "cpu": 23.5,
    "memory": {"total": 4_294_967_296, "used": 3_000_000_000, "available": 1_294_967_296},
    "storage": {"total": 64_000_000_000, "used": 20_000_000_000, "available": 44_000_000_000},
    "networkType": "WIFI",
    "foregroundApp": "com.example.kiosk",
    "timestamp": AT // 1000,
}


def receive(workshop: Workshop, body: dict[str, Any]) -> list[Effect]:
    return workshop.receive(receive_metrics, "tab-1", body)


def test_metrics_are_pushed_as_they_were_sent(workshop: Workshop) -> None:
    """«metrics row; push `device_metrics`»"""
    [body] = pushed(receive(workshop, BODY), "device.metrics")
    assert body == BODY | {"timestamp": "2026-01-31T12:00:00.000Z"}


def test_a_device_shows_64_bit_numbers_as_text(workshop: Workshop) -> None:
    """«(+ last 10 `metrics`, 20 `actionLogs`; 64-bit numbers as strings)»"""
    for cpu in range(12):
        receive(workshop, BODY | {"cpu": cpu})
    shown = latest(workshop.tx.connection, workshop.row("tab-1").id, 10)
    assert [each["cpu"] for each in shown] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert shown[0]["memory"] == {
        "total": "4294967296",
        "used": "3000000000",
        "available": "1294967296",
    }


def test_what_is_not_said_stays_unknown(workshop: Workshop) -> None:
    [body] = pushed(receive(workshop, {"cpu": 0}), "device.metrics")
    assert body["cpu"] == 0
    assert body["memory"] == {"total": None, "used": None, "available": None}


def test_metrics_are_also_readings(workshop: Workshop) -> None:
    readings = [each for each in receive(workshop, BODY) if isinstance(each, Reading)]
    assert [(each.metric, each.value, each.unit) for each in readings] == [
        ("cpu", 23.5, "%"),
        ("memory.used", 3_000_000_000, "By"),
        ("storage.used", 20_000_000_000, "By"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "cpu"),
        ({"cpu": "much"}, "cpu"),
        ({"memory": 5}, "memory"),
        ({"memory": {"used": -1}}, "memory.used"),
        ({"storage": {"total": 2**63}}, "storage.total"),
        ({"cpu": 1, "networkType": []}, "networkType"),
        ({"cpu": 1, "timestamp": {}}, "timestamp"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(
    workshop: Workshop, body: dict[str, Any], field: str
) -> None:
    with pytest.raises(DomainError) as caught:
        receive(workshop, body)
    assert caught.value.field == field
