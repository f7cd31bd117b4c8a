"""HTTP: where a tablet was, `/api/device/{id}/location-history` and `/route`."""

from typing import Annotated

from fastapi import APIRouter, Query

from fleetwire.apps.tablets import fleet, location
from fleetwire.apps.tablets.device_endpoints import Answer, TheDevices, TheStore
from fleetwire.apps.tablets.errors import WRONG_REQUEST
from fleetwire.apps.tablets.location import Span
from fleetwire.kit import Asks, InvalidValueError
from fleetwire.kit.instants import now, parse

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MOST_DAYS = 366.0

Hours = Annotated[float | None, Query(gt=0, le=24 * MOST_DAYS, description="The last so many")]
Days = Annotated[float | None, Query(gt=0, le=MOST_DAYS, description="The last so many")]
Moment = Annotated[str | None, Query(max_length=64, description="ISO 8601 or epoch")]

router = APIRouter(prefix="/api/device", tags=["places"], responses=WRONG_REQUEST)


@router.get("/{id}/location-history")
async def read_location_history(
    id: str,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    hours: Hours = None,
    days: Days = None,
    startDate: Moment = None,  # noqa: N803 - the field's own spelling of a parameter
    endDate: Moment = None,  # noqa: N803 - likewise
) -> Answer:
    """Return places oldest first: of the last hours or days, or between two dates."""
    span = span_of(hours=hours, days=days, start=startDate, end=endDate)
    tablet = await fleet.one_of(caller, id, devices, store)
    found = await store.read(
        lambda connection: location.history(connection, tablet.row.id, span, limit, offset)
    )
    return {"success": True, "data": found, "count": len(found)}


@router.get("/{id}/route")
async def read_route(
    id: str,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    days: Annotated[float, Query(gt=0, le=MOST_DAYS)] = 7,
    minDistance: Annotated[  # noqa: N803 - the field's own spelling of a parameter
        float, Query(ge=0, le=1e7, description="Metres between points")
    ] = 200,
) -> Answer:
    """Return the way that a tablet went as `[[latitude, longitude], …]`, oldest first."""
    span = span_of(days=days)
    tablet = await fleet.one_of(caller, id, devices, store)
    points = await store.read(
        lambda connection: location.route(connection, tablet.row.id, span, minDistance)
    )
    return {"success": True, "data": [list(point) for point in points]}


def span_of(
    *,
    hours: float | None = None,
    days: float | None = None,
    start: str | None = None,
    end: str | None = None,
) -> Span:
    """Return the span that was asked for; the latest beginning counts.

    Raises InvalidValueError.
    """
    at = now()
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
