"""The status message: what it changes, and what it must not."""

from typing import Any

import pytest

from fleetwire.apps.tablets.status import receive_status
from fleetwire.kit import DomainError, Effect, Reading
from tests.apps.tablets.workshop import AT, SECOND, Workshop, pushed

FULL = {
    "deviceId": "tab-1",
    "battery": 87,
    "wifiStatus": True,
    "uptime": 7_200_000,
    "isCharging": False,
    "batteryHealth": "GOOD",
    "chargingMethod": "NONE",
    "mobileDataEnabled": True,
    "networkConnected": True,
    "screenOn": False,
    "volumeLevel": 40,
    "bluetoothEnabled": True,
    "installedAppsCount": 93,
    "bootTime": 1_769_853_600_000,
    "timestamp": 1_769_860_800_000,
}
WILL = {"deviceId": "tab-1", "battery": 0, "wifiStatus": False, "uptime": 0, "bootTime": 0}


def receive(workshop: Workshop, body: dict[str, Any]) -> list[Effect]:
    return workshop.receive(receive_status, "tab-1", body)


def told(effects: list[Effect]) -> dict[str, Any]:
    [body] = pushed(effects, "device.status")
    return body


def test_the_least_status_makes_the_tablet_online(workshop: Workshop) -> None:
    """«the least is `battery, wifiStatus`» · «device row, last seen, ONLINE; push»"""
    body = told(receive(workshop, {"battery": 100, "wifiStatus": True}))
    assert (body["battery"], body["wifiStatus"], body["status"]) == (100, True, "ONLINE")
    row = workshop.row("tab-1")
    assert (row.battery, row.wifi_status, row.status, row.last_seen_at) == (100, True, "ONLINE", AT)


def test_the_push_holds_every_field_of_the_contract(workshop: Workshop) -> None:
    """«`device_status` (`battery,wifiStatus,…,bootTime` string`,lastSeen,status`)»"""
    body = told(receive(workshop, FULL))
    expected = {
        name: FULL[name] for name in FULL if name not in ("deviceId", "uptime", "timestamp")
    }
    expected |= {"bootTime": "1769853600000", "lastSeen": "2026-01-31T12:00:00.000Z"}
    expected |= {"status": "ONLINE", "reason": "status", "since": "2026-01-31T12:00:00.000Z"}
    assert body == expected


def test_a_partial_status_wipes_nothing(workshop: Workshop) -> None:
    """«Unsent fields keep their last value. A partial status never wipes…»"""
    receive(workshop, FULL)
    body = told(receive(workshop, {"battery": 86}))
    assert body["battery"] == 86
    assert (body["volumeLevel"], body["wifiStatus"], body["bootTime"]) == (
        40,
        True,
        "1769853600000",
    )
    assert told(receive(workshop, {"volumeLevel": None, "battery": 85}))["volumeLevel"] == 40


def test_zero_false_and_empty_are_values(workshop: Workshop) -> None:
    """«`0`, `false` and `""` are values, not absences»"""
    receive(workshop, FULL)
    body = told(receive(workshop, {"battery": 0, "wifiStatus": False, "volumeLevel": 0}))
    assert (body["battery"], body["wifiStatus"], body["volumeLevel"]) == (0, False, 0)
    assert body["status"] == "ONLINE"
    assert body["batteryHealth"] == "GOOD"
    assert told(receive(workshop, {"batteryHealth": ""}))["batteryHealth"] == "UNKNOWN"


def test_the_marker_means_offline_and_keeps_the_last_battery(workshop: Workshop) -> None:
    """«that (and the Will itself) means **OFFLINE**, and must not store battery 0»"""
    receive(workshop, FULL)
    workshop.at += 5 * SECOND
    body = told(receive(workshop, WILL))
    assert (body["status"], body["battery"], body["wifiStatus"]) == ("OFFLINE", 87, True)
    assert (body["reason"], body["since"]) == ("will", "2026-01-31T12:00:05.000Z")
    row = workshop.row("tab-1")
    assert (row.status, row.battery, row.last_seen_at) == ("OFFLINE", 87, AT)


def test_a_second_will_tells_nothing(workshop: Workshop) -> None:
    receive(workshop, FULL)
    receive(workshop, WILL)
    assert receive(workshop, WILL) == []


@pytest.mark.parametrize("body", [{"uptime": 0, "battery": 5}, {"bootTime": 0, "battery": 5}])
def test_half_the_marker_is_a_status(workshop: Workshop, body: dict[str, Any]) -> None:
    """«A real status never has `uptime` 0 and `bootTime` 0 together»"""
    assert told(receive(workshop, body))["status"] == "ONLINE"


def test_numbers_and_truth_values_may_come_as_text(workshop: Workshop) -> None:
    body = told(receive(workshop, {"battery": "87", "wifiStatus": "true", "screenOn": 0}))
    assert (body["battery"], body["wifiStatus"], body["screenOn"]) == (87, True, False)
    assert told(receive(workshop, {"uptime": "0", "bootTime": "0"}))["status"] == "OFFLINE"


def test_the_battery_is_also_a_reading(workshop: Workshop) -> None:
    readings = [each for each in receive(workshop, FULL) if isinstance(each, Reading)]
    assert [(each.metric, each.value, each.unit) for each in readings] == [("battery", 87, "%")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"battery": 101}, "battery"),
        ({"battery": -1}, "battery"),
        ({"battery": "full"}, "battery"),
        ({"battery": True}, "battery"),
        ({"battery": 50.5}, "battery"),
        ({"battery": float("nan")}, "battery"),
        ({"wifiStatus": "perhaps"}, "wifiStatus"),
        ({"volumeLevel": []}, "volumeLevel"),
        ({"batteryHealth": 3}, "batteryHealth"),
        ({"bootTime": 2**63}, "bootTime"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(
    workshop: Workshop, body: dict[str, Any], field: str
) -> None:
    receive(workshop, FULL)
    with pytest.raises(DomainError) as caught:
        receive(workshop, {"wifiStatus": True, **body})
    assert caught.value.field == field
    assert workshop.row("tab-1").battery == 87


def test_a_status_that_says_nothing_is_refused(workshop: Workshop) -> None:
    with pytest.raises(DomainError, match="says nothing"):
        receive(workshop, {"deviceId": "tab-1"})


def test_a_state_that_a_newer_android_knows_is_unknown(workshop: Workshop) -> None:
    body = told(receive(workshop, {"battery": 9, "batteryHealth": "SWOLLEN"}))
    assert body["batteryHealth"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("batteryHealth", "GOOD|OVERHEAT|DEAD|OVER_VOLTAGE|FAILURE|COLD|UNKNOWN"),
        ("chargingMethod", "USB|AC|WIRELESS|NONE|UNKNOWN"),
    ],
)
def test_every_word_of_the_contract_is_kept(workshop: Workshop, field: str, words: str) -> None:
    """«batteryHealth GOOD|OVERHEAT|DEAD|OVER_VOLTAGE|FAILURE|COLD|UNKNOWN»

    «chargingMethod USB|AC|WIRELESS|NONE|UNKNOWN»
    """
    for word in words.split("|"):
        assert told(receive(workshop, {field: word}))[field] == word
        assert told(receive(workshop, {field: word.lower()}))[field] == word


@pytest.mark.parametrize("volume", [0, 100])
def test_the_ends_of_a_range_are_within_it(workshop: Workshop, volume: int) -> None:
    """«volumeLevel 0-100»"""
    body = told(receive(workshop, {"volumeLevel": volume, "battery": volume}))
    assert (body["volumeLevel"], body["battery"]) == (volume, volume)
