"""Virtual devices send what real ones could, and the same again for the same seed."""

import json

import pytest

from fleetwire.apps.medical.types import DEVICE_TYPES, metric_of
from fleetwire.cli.virtual_devices import TYPES, VirtualDevice

AT = 1_790_000_000_000_000


def test_the_same_seed_gives_the_same_values() -> None:
    one, same, other = VirtualDevice(1, 7), VirtualDevice(1, 7), VirtualDevice(1, 8)
    first = [one.reading(AT + n) for n in range(20)]
    assert first == [same.reading(AT + n) for n in range(20)]
    assert first != [other.reading(AT + n) for n in range(20)]


@pytest.mark.parametrize("number", range(1, len(TYPES) + 1))
def test_values_are_plausible_for_the_type(number: int) -> None:
    device = VirtualDevice(number, 1)
    assert device.type in DEVICE_TYPES
    values: set[float] = set()
    for step in range(500):
        body = json.loads(device.reading(AT + step))
        assert body["device_id"] == device.device_id
        for name, value in body.items():
            if name == "sample_rate" or isinstance(value, bool | str | list):
                continue
            metric = metric_of(device.type, body["metric_type"] if name == "value" else name)
            assert metric.unit, f"{device.type} is not known to measure {name}"
            low, high = metric.range_in(metric.unit)
            assert low <= value <= high
            values.add(value)
    assert len(values) > 5  # they wander


def test_every_type_has_its_turn() -> None:
    assert {VirtualDevice(number, 1).type for number in range(1, 7)} == set(TYPES)


def test_a_status_is_plausible() -> None:
    body = json.loads(VirtualDevice(3, 1).status("online"))
    assert body["status"] == "online"
    assert 1 <= body["battery"] <= 100
    assert body["signal_strength"] < 0
