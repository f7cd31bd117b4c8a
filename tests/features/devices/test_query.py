"""A query is refused at its fault's place, and SQL and Python answer it alike."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.matching import matches
from fleetwire.features.devices.query import MAX_DEPTH, MAX_QUERY_CHARS, MAX_TERMS, parse
from fleetwire.kit import DeviceRecord
from tests.fakes import caller
from tests.features.rooms import Rooms, open_rooms

FLEET: list[dict[str, Any]] = [
    {"device_id": "a", "type": "meter", "tags": ["cold"], "attributes": {"floor": 2, "x": True}},
    {"device_id": "b", "type": "meter", "tags": ["cold", "b"], "attributes": {"floor": "2"}},
    {"device_id": "c", "type": "ecg", "tags": [], "attributes": {"floor": 2.5, "x": "true"}},
    {"device_id": "d", "type": "ecg", "tags": ["Cold"], "attributes": {"floor": "second"}},
    {"device_id": "e", "type": "a b", "tags": ["b"], "attributes": {"x": None, "y": {"z": 1}}},
    {"device_id": "f", "type": "or", "tags": [], "attributes": {"floor": "y" * 300, "x": 1e300}},
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tag:cold", "ab"),
        ("tag=cold and type:meter and attr.floor=2", "ab"),
        ("attr.floor=2.0", "ab"),
        ('attr.floor="2"', "ab"),
        ('attr.floor="2.0"', ""),
        ("attr.floor>2", "c"),
        ("attr.floor>=2 and not attr.floor=2.5", "ab"),
        ("attr.floor!=2", "cdef"),
        ("attr.x:true", "ac"),
        ('type:"a b"', "e"),
        ("type:or or type:ecg", "cdf"),
        ("tag:b or tag:cold and type:ecg", "be"),
        ("(tag:b or tag:cold) and type:meter", "ab"),
        ("not (tag:b OR tag:cold)", "cdf"),
        ("connected:true", ""),
        ("connected:false and app:vending", ""),
        ("status:inactive", "abcdef"),
        ("attr.y=1", ""),
    ],
)
async def test_a_query_finds_what_it_says(rooms: Rooms, query: str, found: str) -> None:
    await _register_fleet(rooms)
    by_sql = (await rooms.devices.list(caller(), None, query=query)).items
    assert "".join(device.device_id for device in by_sql) == found
    every = (await rooms.devices.list(caller(), None)).items
    by_python = [device for device in every if matches(parse(query), device)]
    assert by_python == by_sql


@pytest.mark.parametrize(
    ("query", "place", "words"),
    [
        ("", 1, "missing here"),
        ("   ", 1, "missing here"),
        ("tag:cold type:x", 10, '"and" or "or" is missing'),
        ("tag:cold and", 13, "missing here"),
        ("tag", 4, '":" is missing'),
        ("tag:", 5, "value is missing"),
        ("color:red", 1, "'color' is none of"),
        ("(tag:a", 7, 'for the "(" at 1'),
        ("tag:a)", 6, "missing before"),
        ("attr.floor", 11, "is missing after"),
        ("attr.=2", 1, "does not name an attribute"),
        ("attr.é=2", 1, "does not name an attribute"),
        ("attr.floor>second", 12, "wants a number"),
        ('attr.floor<"2"', 12, "wants a number"),
        ("connected:yes", 11, "true or false"),
        ('tag:"cold', 5, "quotation mark"),
        ("tag:a and ! tag:b", 11, "no part of it"),
        ("type:a\0b", 6, "printable"),
        ("tag>a", 4, '":" is missing'),
    ],
)
def test_a_fault_is_refused_with_its_place(query: str, place: int, words: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        parse(query)
    assert error.value.field == "query"
    assert f"character {place}:" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "query",
    [
        "tag:a and " * (MAX_TERMS) + "tag:a",
        "not " * (MAX_DEPTH + 1) + "tag:a",
        "(" * (MAX_DEPTH + 1) + "tag:a" + ")" * (MAX_DEPTH + 1),
        "tag:" + "a" * 201,
        "t" * (MAX_QUERY_CHARS + 1),
    ],
)
def test_a_query_past_a_bound_is_refused(query: str) -> None:
    with pytest.raises(InvalidValueError, match=r"more than|deeper than|at most"):
        parse(query)


@given(st.text(max_size=60))
def test_whatever_is_asked_is_understood_or_refused_with_a_place(query: str) -> None:
    try:
        parse(query)
    except InvalidValueError as error:
        place = re.search(r"character (\d+):", str(error))
        assert place is not None
        assert 1 <= int(place[1]) <= len(query) + 1


_values = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=8).filter(lambda text: text.isascii()),
    st.sampled_from(["2", "2.0", "+2", "-0", "1e1", "1e999", ".5", "true", "Cold", "cold", "é"]),
    st.lists(st.integers(), max_size=2),
)
_names = st.sampled_from(["floor", "x"])
_tags = st.sampled_from(["cold", "Cold", "b"])
_areas = st.sampled_from(["A", "a", "A/b", "A/b/c", "A b", "A_", "A%/b", "é"])
_devices = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["meter", "ecg"]),
        "tags": st.lists(_tags, max_size=3),
        "attributes": st.dictionaries(_names, _values, max_size=2),
        "area": st.one_of(st.none(), _areas),
    }
)
_literals = st.sampled_from(
    ["2", "2.5", "-1", "0", "1e1", ".5", "true", "cold", "é", '"2"', '"2.0"', '"a \\" b"', "1e999"]
)
_numbers = st.sampled_from(["2", "-1", "0", "1e1", ".5", "1e300"])
_terms = st.one_of(
    st.builds("tag:{}".format, _tags),
    st.builds("type:{}".format, st.sampled_from(["meter", "ecg", "cold"])),
    st.sampled_from(["connected:true", "connected:false", "app:demo", "status:inactive"]),
    st.builds('area:"{}"'.format, st.one_of(_areas, st.sampled_from(["A/", "b", "", "A/b/c/d"]))),
    st.builds("attr.{}{}{}".format, _names, st.sampled_from(["=", "!="]), _literals),
    st.builds("attr.{}{}{}".format, _names, st.sampled_from(["<", "<=", ">", ">="]), _numbers),
)
_queries = st.recursive(
    _terms,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
    ),
    max_leaves=6,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fleet=st.lists(_devices, min_size=1, max_size=4), queries=st.lists(_queries, min_size=8))
def test_sql_and_python_give_the_same_answer(
    tmp_path_factory: pytest.TempPathFactory, fleet: list[dict[str, Any]], queries: list[str]
) -> None:
    async def compare(path: Path) -> None:
        async with open_rooms(path) as rooms:
            for number, device in enumerate(fleet):
                path = device["area"]
                area = None if path is None else await rooms.areas.ensure(caller(), path)
                area_id = None if area is None else area.id
                said = {name: device[name] for name in ("type", "tags", "attributes")}
                await rooms.devices.register(
                    caller(), "demo", f"d{number}", **said, area_id=area_id
                )
            every = (await rooms.devices.list(caller(), None)).items
            for query in queries:
                by_sql = (await rooms.devices.list(caller(), None, query=query)).items
                node = parse(query)
                assert by_sql == [device for device in every if matches(node, device)], query

    asyncio.run(compare(tmp_path_factory.mktemp("query") / "test.db"))


async def test_a_query_follows_changes_of_attributes_and_tags(rooms: Rooms) -> None:
    await _register_fleet(rooms)
    await rooms.devices.update(caller(), "demo", "c", tags=["cold"], attributes={"floor": 7})
    await rooms.devices.update(caller(), "demo", "a", tags=[], attributes={"floor": None})
    await rooms.devices.delete(caller(), "demo", "b")
    assert await _names_of(rooms, "tag:cold") == ["c"]
    assert await _names_of(rooms, "attr.floor>0") == ["c"]
    assert (await rooms.devices.get(caller(), "demo", "c")).tags == ("cold",)


async def test_a_query_shows_nobody_elses_devices_and_is_paged(rooms: Rooms) -> None:
    await _register_fleet(rooms)
    first = await rooms.devices.list(caller(), None, query="not tag:cold", limit=3)
    rest = await rooms.devices.list(
        caller(), None, query="not tag:cold", limit=3, cursor=first.next_cursor
    )
    assert [each.device_id for each in [*first.items, *rest.items]] == ["c", "d", "e", "f"]
    assert (await rooms.devices.list(caller(2), None, query="not tag:cold")).items == []


@pytest.mark.parametrize("tags", [["a b"], [""], ["é"], ["x" * 65], [f"t{n}" for n in range(33)]])
async def test_tags_past_their_bounds_are_refused(rooms: Rooms, tags: list[str]) -> None:
    with pytest.raises(InvalidValueError) as error:
        await rooms.devices.register(caller(), "demo", "d", "meter", tags=tags)
    assert error.value.field == "tags"


async def _register_fleet(rooms: Rooms) -> list[DeviceRecord]:
    return [(await rooms.devices.register(caller(), "demo", **device))[0] for device in FLEET]


async def _names_of(rooms: Rooms, query: str) -> list[str]:
    page = await rooms.devices.list(caller(), None, query=query)
    return [device.device_id for device in page.items]
