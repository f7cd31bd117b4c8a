"""The location message, the history of places and the route."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from fleetwire.apps.tablets import fields
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.apps.tablets.distance import Point, distance_m, thinned
from fleetwire.apps.tablets.fields import Body
from fleetwire.apps.tablets.presence import hear
from fleetwire.apps.tablets.rows import keep_newest, row_of
from fleetwire.apps.tablets.tables import locations
from fleetwire.kit import Device, Effect, Event, Incoming, NotAcceptedError, Transaction
from fleetwire.kit.instants import iso

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
