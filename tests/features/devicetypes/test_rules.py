"""What a type may say, and which commands it lets through."""

import math
from typing import Any

import pytest

from fleetwire.errors import InvalidValueError, SettingsError
from fleetwire.features.devicetypes.book import KnownType, TypeBook
from fleetwire.features.devicetypes.rules import check_type
from fleetwire.kit import (
    App,
    CommandType,
    Device,
    DeviceType,
    DeviceTypeRecord,
    Metric,
    MetricRange,
    Parameter,
)

FRIDGE = DeviceType(
    "fridge",
    metrics=(
        Metric("temperature", "Cel", 2, 8, others=(MetricRange("[degF]", 35.6, 46.4),)),
        Metric("outer.temperature", "Cel", None, 40),
        Metric("door"),
    ),
    commands=(
        CommandType("reset", ()),
        CommandType("free"),
        CommandType(
            "defrost",
            (
                Parameter("minutes", "integer", required=True, low=1, high=60),
                Parameter("mode", "text", choices=("soft", "hard")),
                Parameter("level", "number", choices=(1, 2.5)),
                Parameter("note", "text", low=1, high=5),
                Parameter("quiet", "boolean"),
                Parameter("at", "list", high=2),
                Parameter("more", "object"),
            ),
        ),
    ),
)


def device(type: str = "fridge", organization_id: int = 1) -> Device:
    return Device(1, "demo", "d", organization_id, type, {})


@pytest.mark.parametrize(
    ("type", "field"),
    [
        (DeviceType(""), "name"),
        (DeviceType("a/b"), "name"),
        (DeviceType(".."), "name"),
        (DeviceType("x" * 65), "name"),
        (DeviceType("x", description="\x1b[1m"), "description"),
        (DeviceType("x", metrics=(Metric("a"), Metric(""))), "metrics.1.name"),
        (DeviceType("x", metrics=(Metric("a"), Metric("a"))), "metrics"),
        (DeviceType("x", metrics=(Metric("a", "m m"),)), "metrics.0.unit"),
        (DeviceType("x", metrics=(Metric("a", "°C"),)), "metrics.0.unit"),
        (DeviceType("x", metrics=(Metric("a", "Cel", 2, 1),)), "metrics.0.low"),
        (DeviceType("x", metrics=(Metric("a", "Cel", math.nan),)), "metrics.0.low"),
        (DeviceType("x", metrics=(Metric("a", high=math.inf),)), "metrics.0.high"),
        (
            DeviceType("x", metrics=(Metric("a", "Cel", others=(MetricRange("Cel"),)),)),
            "metrics.0.others",
        ),
        (DeviceType("x", metrics=tuple(Metric(f"m{n}") for n in range(201))), "metrics"),
        (DeviceType("x", states=("on", "\n")), "states.1"),
        (DeviceType("x", states=("on", "on")), "states"),
        (DeviceType("x", commands=(CommandType(""),)), "commands.0.name"),
        (DeviceType("x", commands=(CommandType("a"), CommandType("a"))), "commands"),
        (
            DeviceType("x", commands=(CommandType("a", (Parameter("p"), Parameter("p"))),)),
            "commands.0.parameters",
        ),
        (
            DeviceType("x", commands=(CommandType("a", (Parameter("p", choices=("a",)),)),)),
            "commands.0.parameters.0.choices",
        ),
        (
            DeviceType("x", commands=(CommandType("a", (Parameter("p", "list", choices=(1,)),)),)),
            "commands.0.parameters.0.choices",
        ),
        (DeviceType("x", publishes=("devices/+/data",)), "publishes.0"),
        (DeviceType("x", publishes=("devices/{device_id}/{x}",)), "publishes.0"),
        (DeviceType("x", subscribes=("a{device_id}",)), "subscribes.0"),
        (DeviceType("x", subscribes=("a/#/{device_id}",)), "subscribes.0"),
        (
            DeviceType(
                "x", metrics=tuple(Metric(f"m{n}", description="d" * 500) for n in range(200))
            ),
            None,
        ),
    ],
)
def test_a_type_out_of_form_is_refused_with_its_place(type: DeviceType, field: str | None) -> None:
    with pytest.raises(InvalidValueError) as error:
        check_type(type)
    assert error.value.field == field


def test_a_declaration_out_of_form_stops_the_start_and_names_its_place() -> None:
    wrong = DeviceType("x", metrics=(Metric("a", "Cel", 2, 1),))
    with pytest.raises(SettingsError, match=r"App 'demo', device type 'x', metrics\.0\.low"):
        TypeBook([App("demo", types=[wrong])])
    with pytest.raises(SettingsError, match="twice"):
        TypeBook([App("demo", types=[DeviceType("x"), DeviceType("x")])])


@pytest.mark.parametrize(
    ("metric", "unit", "found"),
    [
        ("temperature", "Cel", (2, 8)),
        ("temperature", "", (2, 8)),
        ("temperature", "[degF]", (35.6, 46.4)),
        ("temperature", "K", None),
        ("inner.temperature", "Cel", (2, 8)),
        ("outer.temperature", "Cel", (-math.inf, 40)),
        ("outer.temperature", "[degF]", None),
        ("humidity", "%", None),
    ],
)
def test_a_range_is_found_by_name_or_last_part_and_unit(
    metric: str, unit: str, found: tuple[float, float] | None
) -> None:
    known = KnownType(DeviceTypeRecord(FRIDGE))
    assert known.range_of(metric, unit) == found
    assert known.range_of(metric, unit) == found  # also when it is remembered


def test_an_organisations_own_type_takes_the_place_of_an_apps() -> None:
    book = TypeBook([App("demo", types=[FRIDGE]), App("other", types=[DeviceType("lamp")])])
    own = DeviceTypeRecord(DeviceType("fridge", states=("on",)), id=1)
    book.put(1, own)
    assert [book.known_of(device(organization_id=each)).record.app for each in (1, 2)] == [  # type: ignore[union-attr]  # both are known
        None,
        "demo",
    ]
    assert book.known_of(device("lamp")) is None  # another app's type of that name
    book.remove(1, "fridge")
    known = book.known_of(device())
    assert known is not None
    assert known.record.type is FRIDGE


GOOD: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("free", {"whatever": [1]}),
    ("defrost", {"minutes": 60}),
    ("defrost", {"minutes": 2.0, "mode": "soft", "level": 2.5, "note": "x", "quiet": False}),
    ("defrost", {"minutes": 1, "at": [1, 2], "more": {"a": 1}, "level": 1}),
]


@pytest.mark.parametrize(("name", "parameters"), GOOD)
def test_a_command_as_declared_passes(name: str, parameters: dict[str, Any]) -> None:
    TypeBook([App("demo", types=[FRIDGE])]).check_command(device(), name, parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "field"),
    [
        ("explode", {}, "name"),
        ("reset", {"now": True}, "parameters.now"),
        ("defrost", {}, "parameters.minutes"),
        ("defrost", {"minutes": None}, "parameters.minutes"),
        ("defrost", {"minutes": True}, "parameters.minutes"),
        ("defrost", {"minutes": 1.5}, "parameters.minutes"),
        ("defrost", {"minutes": math.nan}, "parameters.minutes"),
        ("defrost", {"minutes": "1"}, "parameters.minutes"),
        ("defrost", {"minutes": 0}, "parameters.minutes"),
        ("defrost", {"minutes": 61}, "parameters.minutes"),
        ("defrost", {"minutes": 1, "mode": "SOFT"}, "parameters.mode"),
        ("defrost", {"minutes": 1, "level": 2}, "parameters.level"),
        ("defrost", {"minutes": 1, "level": math.inf}, "parameters.level"),
        ("defrost", {"minutes": 1, "note": ""}, "parameters.note"),
        ("defrost", {"minutes": 1, "note": "sixsix"}, "parameters.note"),
        ("defrost", {"minutes": 1, "quiet": 1}, "parameters.quiet"),
        ("defrost", {"minutes": 1, "at": [1, 2, 3]}, "parameters.at"),
        ("defrost", {"minutes": 1, "more": []}, "parameters.more"),
    ],
)
def test_a_command_that_is_not_as_declared_is_refused_with_its_field(
    name: str, parameters: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidValueError) as error:
        TypeBook([App("demo", types=[FRIDGE])]).check_command(device(), name, parameters)
    assert error.value.field == field


def test_where_nothing_is_declared_any_command_passes() -> None:
    book = TypeBook([App("demo", types=[DeviceType("lamp")])])
    book.check_command(device("lamp"), "explode", {"a": 1})
    book.check_command(device("unknown"), "explode", {"a": 1})
