"""Where tablets are: the location message, the history of places, the route.

HTTP: `/api/device/{id}/location-history` and `/route`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection, bindparam, insert, select

from fleetwire.apps.tablets import fields, fleet
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.apps.tablets.fields import Body
from fleetwire.apps.tablets.presence import hear
from fleetwire.apps.tablets.rows import keep_newest, row_of
from fleetwire.apps.tablets.tables import locations
from fleetwire.apps.tablets.web import WRONG_REQUEST, Answer, TheClock, TheDevices, TheStore
from fleetwire.kit import (
    Asks,
    Device,
    Effect,
    Event,
    Incoming,
    InvalidValueError,
    NotAcceptedError,
    Transaction,
)
from fleetwire.kit.instants import iso, parse

EARTH_M = 6_371_000.0  # mean radius; the ellipsoid differs by 0.5 % at most

Point = tuple[float, float]  # latitude, longitude in degrees

LOCATION_EVENT = "device.location"
MOST_ACCURACY_M = 1e7
MOST_SPEED = 1e5

_add = insert(locations)
_newest = (
    select(locations.c.latitude, locations.c.longitude)
    .where(locations.c.tablet == bindparam("tablet"))
    .order_by(locations.c.id.desc())
    .limit(1)
)

Handler = Callable[[Device, dict[str, Any], Incoming, Transaction], list[Effect]]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MOST_DAYS = 366.0

Hours = Annotated[float | None, Query(gt=0, le=24 * MOST_DAYS, description="The last so many")]
Days = Annotated[float | None, Query(gt=0, le=MOST_DAYS, description="The last so many")]
Moment = Annotated[str | None, Query(max_length=64, description="ISO 8601 or epoch")]

router = APIRouter(prefix="/api/device", tags=["places"], responses=WRONG_REQUEST)


def location_receiver(bounds: Bounds) -> Handler:
    """Return the handler that keeps a history within these bounds."""

    def receive_location(
        device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
    ) -> list[Effect]:
        """Return the push `device_location`. Raises NotAcceptedError naming the field at fault."""
        place = place_in(body, message.received_at)
        row = row_of(tx, device, message.received_at)
        # What waited in a tablet without a network comes late: it is history, not where it is.
        is_newest = row.located_at is None or place["at"] >= row.located_at
        here = {name: value for name, value in place.items() if name != "at"}
        here["located_at"] = place["at"]
        effects = hear(tx, device, row, message.received_at, here if is_newest else None)
        if _has_moved(tx, device.id, (place["latitude"], place["longitude"]), bounds.moved_m):
            added = tx.execute(
                _add, place | {"tablet": device.id, "received_at": message.received_at}
            )
            id = added.inserted_primary_key[0]  # type: ignore[index]  # an insert has one
            keep_newest(tx, locations, device.id, bounds.kept_locations, id)
        seen_at = max(message.received_at, row.last_seen_at or 0)
        told = {"latitude": place["latitude"], "longitude": place["longitude"]}
        more = {name: place[name] for name in ("speed", "heading") if place[name] is not None}
        if place["accuracy_m"] is not None:
            more["accuracy"] = place["accuracy_m"]
        body_told = told | more | {"lastSeen": iso(seen_at), "timestamp": iso(place["at"])}
        return [*effects, Event(LOCATION_EVENT, device, body_told)]

    return receive_location


def place_in(body: Body, received_at: int) -> dict[str, Any]:
    """Return the columns of a location message. Raises NotAcceptedError, InvalidValueError."""
    latitude = fields.number(body, "latitude", -90, 90)
    longitude = fields.number(body, "longitude", -180, 180)
    for name, value in (("latitude", latitude), ("longitude", longitude)):
        if value is None:
            raise NotAcceptedError(f"{name} is missing", field=name)
    return {
        "latitude": latitude,
        "longitude": longitude,
        "accuracy_m": fields.number(body, "accuracy", 0, MOST_ACCURACY_M),
        "speed": fields.number(body, "speed", -1, MOST_SPEED),
        "heading": fields.number(body, "heading", -360, 360),
        "at": fields.instant(body, "timestamp", received_at),
    }


def _has_moved(tx: Transaction, tablet: int, here: Point, moved_m: float) -> bool:
    before = tx.execute(_newest, {"tablet": tablet}).one_or_none()
    return before is None or distance_m((before.latitude, before.longitude), here) >= moved_m


@dataclass(frozen=True)
class Span:
    """From when to when, in microseconds UTC; None = without an end."""

    from_at: int | None = None
    to_at: int | None = None


def history(
    connection: Connection, tablet: int, span: Span, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Return places, oldest first."""
    places = locations.c
    wanted = (
        select(locations)
        .where(places.tablet == tablet, *_within(span))
        .order_by(places.at, places.id)
        .limit(limit)
        .offset(offset)
    )
    return [
        {
            "id": str(each.id),
            "latitude": each.latitude,
            "longitude": each.longitude,
            "accuracy": each.accuracy_m,
            "speed": each.speed,
            "heading": each.heading,
            "timestamp": iso(each.at),
        }
        for each in connection.execute(wanted)
    ]


def route(connection: Connection, tablet: int, span: Span, min_distance_m: float) -> list[Point]:
    """Return the way that a tablet went, oldest first, without what is nearer than that."""
    wanted = (
        select(locations.c.latitude, locations.c.longitude)
        .where(locations.c.tablet == tablet, *_within(span))
        .order_by(locations.c.at, locations.c.id)
    )
    found = connection.execute(wanted)
    return thinned(((each.latitude, each.longitude) for each in found), min_distance_m)


def _within(span: Span) -> list[Any]:
    found = []
    if span.from_at is not None:
        found.append(locations.c.at >= span.from_at)
    if span.to_at is not None:
        found.append(locations.c.at < span.to_at)
    return found


def distance_m(a: Point, b: Point) -> float:
    """Return the great-circle distance in metres (haversine)."""
    (lat_a, lng_a), (lat_b, lng_b) = (map(radians, point) for point in (a, b))
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin((lng_b - lng_a) / 2) ** 2
    return 2 * EARTH_M * asin(min(1.0, sqrt(half)))


def thinned(points: Iterable[Point], min_distance_m: float) -> list[Point]:
    """Return the points of a path that are so far from the one kept before; the first and last are.

    A tablet that lies still scatters by the error of its receiver, which is no way gone.
    """
    kept: list[Point] = []
    last: Point | None = None
    for point in points:
        last = point
        if not kept or distance_m(kept[-1], point) >= min_distance_m:
            kept.append(point)
    if last is not None and kept[-1] != last:
        kept.append(last)
    return kept


@router.get("/{id}/location-history")
async def read_location_history(
    id: str,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    clock: TheClock,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    hours: Hours = None,
    days: Days = None,
    startDate: Moment = None,  # noqa: N803 - the field's own spelling of a parameter
    endDate: Moment = None,  # noqa: N803 - likewise
) -> Answer:
    """Return places oldest first: of the last hours or days, or between two dates."""
    span = span_of(clock.now(), hours=hours, days=days, start=startDate, end=endDate)
    tablet = await fleet.one_of(caller, id, devices, store)
    found = await store.read(
        lambda connection: history(connection, tablet.row.id, span, limit, offset)
    )
    return {"success": True, "data": found, "count": len(found)}


@router.get("/{id}/route")
async def read_route(
    id: str,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    clock: TheClock,
    days: Annotated[float, Query(gt=0, le=MOST_DAYS)] = 7,
    minDistance: Annotated[  # noqa: N803 - the field's own spelling of a parameter
        float, Query(ge=0, le=1e7, description="Metres between points")
    ] = 200,
) -> Answer:
    """Return the way that a tablet went as `[[latitude, longitude], …]`, oldest first."""
    span = span_of(clock.now(), days=days)
    tablet = await fleet.one_of(caller, id, devices, store)
    points = await store.read(
        lambda connection: route(connection, tablet.row.id, span, minDistance)
    )
    return {"success": True, "data": [list(point) for point in points]}


def span_of(
    at: int,
    *,
    hours: float | None = None,
    days: float | None = None,
    start: str | None = None,
    end: str | None = None,
) -> Span:
    """Return the span that was asked for at this instant; the latest beginning counts.

    Raises InvalidValueError.
    """
    begins: list[int] = []
    if hours is not None:
        begins.append(at - round(hours * HOUR_US))
    if days is not None:
        begins.append(at - round(days * DAY_US))
    if start is not None:
        begins.append(parse(_plus(start), "startDate"))
    to_at = None if end is None else _end_of(end)
    from_at = max(begins, default=None)
    if from_at is not None and to_at is not None and to_at <= from_at:
        raise InvalidValueError("endDate must be after the beginning", field="endDate")
    return Span(from_at, to_at)


def _end_of(text: str) -> int:
    at = parse(_plus(text), "endDate")
    # A date without a time means that whole day.
    return at + DAY_US if len(text.strip()) == len("2026-01-31") and "-" in text else at


def _plus(text: str) -> str:
    # An unescaped `+01:00` in a query arrives with a space.
    head, space, zone = text.strip().rpartition(" ")
    is_zone = space and "T" in head and zone.replace(":", "").isdigit()
    return f"{head}+{zone}" if is_zone else text
