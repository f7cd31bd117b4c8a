"""Places: where a tablet is, where it was, and the way between."""

from typing import Any

import pytest
from sqlalchemy import insert

from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.apps.tablets.location import (
    Span,
    distance_m,
    history,
    location_receiver,
    route,
    thinned,
)
from fleetwire.apps.tablets.rows import keep_newest
from fleetwire.apps.tablets.tables import locations
from fleetwire.kit import DomainError, Effect
from tests.apps.tablets.workshop import AT, SECOND, Workshop, pushed

JAKARTA = (-6.2, 106.8)
METRE = 1 / 111_194.93  # degrees of latitude


def place(north_m: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"latitude": JAKARTA[0] + north_m * METRE, "longitude": JAKARTA[1], **more}


def receive(workshop: Workshop, body: dict[str, Any], bounds: Bounds | None = None) -> list[Effect]:
    return workshop.receive(location_receiver(bounds or Bounds()), "tab-1", body)


def places(
    workshop: Workshop, span: Span | None = None, *, most: int = 1000
) -> list[dict[str, Any]]:
    tablet = workshop.row("tab-1").id
    return history(workshop.tx.connection, tablet, span or Span(), most, 0)


def test_a_place_is_pushed_and_makes_the_tablet_online(workshop: Workshop) -> None:
    """«`device_location {latitude,longitude,lastSeen}`»"""
    effects = receive(workshop, place(accuracy=12.5, speed=1.5, heading=90, timestamp=AT // 1000))
    [body] = pushed(effects, "device.location")
    assert (body["latitude"], body["longitude"]) == JAKARTA
    assert body["lastSeen"] == "2026-01-31T12:00:00.000Z"
    assert (body["accuracy"], body["speed"], body["heading"]) == (12.5, 1.5, 90)
    assert [each["status"] for each in pushed(effects, "device.status")] == ["ONLINE"]
    row = workshop.row("tab-1")
    assert (row.latitude, row.longitude, row.located_at) == (*JAKARTA, AT)


@pytest.mark.parametrize(("north_m", "rows"), [(0, 1), (49, 1), (51, 2)])
def test_a_history_row_needs_fifty_metres(workshop: Workshop, north_m: float, rows: int) -> None:
    """«position; a history row if moved ≥ 50 m»"""
    receive(workshop, place())
    receive(workshop, place(north_m))
    assert len(places(workshop)) == rows
    assert workshop.row("tab-1").latitude == JAKARTA[0] + north_m * METRE


def test_a_slow_walk_is_measured_from_the_last_row(workshop: Workshop) -> None:
    for step in range(11):
        receive(workshop, place(step * 30))
    assert len(places(workshop)) == 6  # 0, 60, 120, 180, 240, 300


def test_the_history_is_bounded(workshop: Workshop) -> None:
    """«history bounded per device (setting, default 100)»"""
    for step in range(8):
        receive(workshop, place(step * 100), Bounds(kept_locations=5))
    kept = places(workshop)
    assert [round((each["latitude"] - JAKARTA[0]) / METRE) for each in kept] == [
        300, 400, 500, 600, 700,
    ]  # fmt: skip


def test_the_default_bound_is_kept_for_each_tablet(workshop: Workshop) -> None:
    for step in range(110):
        for code in ("tab-1", "tab-2"):
            workshop.receive(location_receiver(Bounds()), code, place(step * 100))
    assert len(places(workshop)) == 100


def test_a_long_history_is_bounded_for_tablets_that_take_turns(workshop: Workshop) -> None:
    receive(workshop, place())
    workshop.receive(location_receiver(Bounds()), "tab-2", place())
    mine, other = workshop.row("tab-1").id, workshop.row("tab-2").id
    row = {"latitude": 1.0, "longitude": 1.0, "at": AT, "received_at": AT}
    rows = [row | {"tablet": tablet} for _ in range(1500) for tablet in (mine, other)]
    workshop.tx.execute(insert(locations), rows)
    # Each of its keys is odd; among a few hundred of them there must be one at which is looked.
    for last_id in range(2001, 3001, 2):
        keep_newest(workshop.tx, locations, mine, 1001, last_id)
    assert len(places(workshop, most=3000)) == 1001


def test_the_history_is_oldest_first_whatever_came_when(workshop: Workshop) -> None:
    """«`GET /:id/location-history…` oldest first»"""
    late = AT // 1000 - 60_000
    receive(workshop, place(0, timestamp=AT // 1000))
    receive(workshop, place(500, timestamp=late))
    assert [each["timestamp"] for each in places(workshop)] == [
        "2026-01-31T11:59:00.000Z",
        "2026-01-31T12:00:00.000Z",
    ]
    # What comes late is where the tablet was, not where it is.
    assert workshop.row("tab-1").latitude == JAKARTA[0]


def test_the_history_can_be_narrowed(workshop: Workshop) -> None:
    for step in range(3):
        receive(workshop, place(step * 100, timestamp=(AT + step * 60 * SECOND) // 1000))
    found = places(workshop, Span(AT + 60 * SECOND, AT + 120 * SECOND))
    assert [each["timestamp"] for each in found] == ["2026-01-31T12:01:00.000Z"]


def test_the_route_leaves_out_what_is_near(workshop: Workshop) -> None:
    """«`GET /:id/route?days=7&minDistance=200` → `data:[[lat,lng],…]`»"""
    for step in range(6):
        receive(workshop, place(step * 90, timestamp=(AT + step * SECOND) // 1000))
    tablet = workshop.row("tab-1").id
    points = route(workshop.tx.connection, tablet, Span(), 200)
    assert [round((lat - JAKARTA[0]) / METRE) for lat, _ in points] == [0, 270, 450]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"longitude": 1}, "latitude"),
        ({"latitude": 1}, "longitude"),
        ({"latitude": 90.1, "longitude": 1}, "latitude"),
        ({"latitude": 1, "longitude": "east"}, "longitude"),
        ({"latitude": 1, "longitude": 1, "accuracy": -1}, "accuracy"),
        ({"latitude": 1, "longitude": 1, "timestamp": "yesterday"}, "timestamp"),
        ({"latitude": None, "longitude": 1}, "latitude"),
    ],
)
def test_what_is_no_place_is_refused_by_its_name(
    workshop: Workshop, body: dict[str, Any], field: str
) -> None:
    with pytest.raises(DomainError) as caught:
        receive(workshop, body)
    assert caught.value.field == field


def test_places_may_come_as_text(workshop: Workshop) -> None:
    """«Numbers may arrive as numbers or strings»"""
    receive(workshop, {"latitude": "-6.2", "longitude": "106.8"})
    row = workshop.row("tab-1")
    assert (row.latitude, row.longitude) == JAKARTA


def test_distance_is_the_one_on_the_ground() -> None:
    berlin, paris = (52.5200, 13.4050), (48.8566, 2.3522)
    assert distance_m(berlin, paris) == pytest.approx(877_460, rel=0.001)
    assert distance_m((0, 179.9), (0, -179.9)) == pytest.approx(22_239, rel=0.001)
    assert distance_m(paris, paris) == 0


def test_a_thinned_path_keeps_both_ends() -> None:
    assert thinned([], 200) == []
    assert thinned([JAKARTA], 200) == [JAKARTA]
    near = (JAKARTA[0] + 10 * METRE, JAKARTA[1])
    assert thinned([JAKARTA, near], 200) == [JAKARTA, near]
    assert thinned([JAKARTA, near, near], 0) == [JAKARTA, near, near]


@pytest.mark.parametrize(
    "timestamp",
    [
        AT // 1000,
        AT // 1_000_000,
        str(AT // 1000),
        "2026-01-31T12:00:00Z",
        "2026-01-31T19:00:00+07:00",
    ],
)
def test_a_time_may_be_said_in_any_form(workshop: Workshop, timestamp: object) -> None:
    """«times as ISO 8601 or epoch (s or ms)»"""
    receive(workshop, place(timestamp=timestamp))
    assert workshop.row("tab-1").located_at == AT
