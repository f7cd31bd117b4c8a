"""HTTP: what devices measured."""

from typing import Annotated

from fastapi import APIRouter, Query

from fleetwire.features.telemetry.schemas import BucketView, ReadingPage, ReadingView
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse
from fleetwire.kit.services import Devices, Telemetry

router = APIRouter(prefix="/api/v1/devices/{app}/{device_id}/readings", tags=["readings"])

TheDevices = Annotated[Devices, service(Devices)]
TheTelemetry = Annotated[Telemetry, service(Telemetry)]
Metric = Annotated[
    str | None, Query(max_length=128, description="a metric, or the first part of its name")
]
From = Annotated[str | None, Query(alias="from", description="ISO 8601 or epoch, inclusive")]
To = Annotated[str | None, Query(alias="to", description="ISO 8601 or epoch, exclusive")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("")
async def read_readings(
    app: str,
    device_id: str,
    caller: Asks,
    devices: TheDevices,
    telemetry: TheTelemetry,
    metric: Metric = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> ReadingPage:
    """Return a device's readings, newest first."""
    device = await devices.get(caller, app, device_id)
    page = await telemetry.query(
        caller,
        device,
        metric=metric,
        from_at=_instant(start, "from"),
        to_at=_instant(end, "to"),
        limit=limit,
        cursor=cursor,
    )
    return ReadingPage(
        items=[ReadingView.of(reading) for reading in page.items], next_cursor=page.next_cursor
    )


@router.get("/latest")
async def read_latest(
    app: str, device_id: str, caller: Asks, devices: TheDevices, telemetry: TheTelemetry
) -> list[ReadingView]:
    """Return the newest reading of each metric."""
    device = await devices.get(caller, app, device_id)
    return [ReadingView.of(reading) for reading in await telemetry.latest(caller, device)]


@router.get("/buckets")
async def read_buckets(
    app: str,
    device_id: str,
    caller: Asks,
    devices: TheDevices,
    telemetry: TheTelemetry,
    bucket: Annotated[str, Query(description="width, such as 10s, 5m, 2h, 1d")],
    metric: Metric = None,
    start: From = None,
    end: To = None,
    limit: Limit = 1000,
) -> list[BucketView]:
    """Return min, max, avg and count per metric and bucket, oldest first; the newest `limit`."""
    device = await devices.get(caller, app, device_id)
    buckets = await telemetry.buckets(
        caller,
        device,
        bucket_us=round(parse_duration(bucket, "bucket") * 1_000_000),
        metric=metric,
        from_at=_instant(start, "from"),
        to_at=_instant(end, "to"),
        limit=limit,
    )
    return [BucketView.of(each) for each in buckets]


def _instant(text: str | None, field: str) -> int | None:
    return None if text is None else parse(text, field)
