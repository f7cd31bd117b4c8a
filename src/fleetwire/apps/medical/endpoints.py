"""HTTP: devices, their data and their commands.

Every answer that shows what belongs to a patient is preceded by one audit record; if that cannot
be written, nothing is shown.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response, status

from fleetwire.apps.medical.schemas import (
    Aggregate,
    BucketView,
    CommandPage,
    CommandRequest,
    CommandView,
    DataPage,
    DeviceChange,
    DevicePage,
    DeviceView,
    ReadingView,
    RegisteredDevice,
    Registration,
)
from fleetwire.apps.medical.topics import Topics
from fleetwire.kit import (
    Asks,
    Audit,
    Caller,
    Commands,
    ConflictError,
    DeviceRecord,
    Devices,
    InvalidValueError,
    Telemetry,
    service,
)
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.instants import parse

APP = "medical"
EXPIRES_IN_S = 60.0
MAX_WAIT_S = 60.0
MIN_BUCKET_S = 1.0
MAX_BUCKET_S = 366 * 86_400.0
OPEN_STATES = frozenset({"queued", "sent"})

ALL_AGGREGATES: frozenset[Aggregate] = frozenset({"min", "max", "avg", "count"})

TheDevices = Annotated[Devices, service(Devices)]
TheTelemetry = Annotated[Telemetry, service(Telemetry)]
TheCommands = Annotated[Commands, service(Commands)]
TheAudit = Annotated[Audit, service(Audit)]
Limit = Annotated[int, Query(ge=1, le=1000)]

router = APIRouter()


def routes(topics: Topics) -> APIRouter:
    """Return all routes on devices; registration tells a device these topics."""
    all_routes = APIRouter()

    @all_routes.post(
        "/devices/register",
        status_code=status.HTTP_201_CREATED,
        tags=["devices"],
        responses={409: {"description": "The device_id is taken"}},
    )
    async def register(body: Registration, caller: Asks, devices: TheDevices) -> RegisteredDevice:
        """Register a device bound to a patient. Its MQTT credentials are in this answer only."""
        device, credential = await devices.register(
            caller, APP, body.device_id, body.type, attributes=dict(body.attributes())
        )
        return RegisteredDevice.with_access(device, credential, topics.of_device(device.device_id))

    all_routes.include_router(router)
    return all_routes


@router.get("/devices", tags=["devices"])
async def list_devices(
    caller: Asks,
    devices: TheDevices,
    audit: TheAudit,
    patient_id: str | None = None,
    search: str | None = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> DevicePage:
    """List the organisation's devices, or those of one patient."""
    attributes = None if patient_id is None else {"patient_id": patient_id}
    page = await devices.list(
        caller, APP, attributes=attributes, search=search, limit=limit, cursor=cursor
    )
    subject = "patients" if patient_id is None else f"patient:{patient_id}"
    await audit.record(
        caller, "patient.read", subject, detail={"what": "devices", "count": len(page.items)}
    )
    return DevicePage(
        items=[DeviceView.of(device) for device in page.items], next_cursor=page.next_cursor
    )


@router.get("/devices/{device_id}", tags=["devices"])
async def read_device(
    device_id: str, caller: Asks, devices: TheDevices, audit: TheAudit, response: Response
) -> DeviceView:
    """Return one device, with the ETag that a change of it may name as If-Match."""
    device = await devices.get(caller, APP, device_id)
    await _audit_read(audit, caller, device, "device")
    response.headers["ETag"] = _tag_of(device)
    return DeviceView.of(device)


@router.patch("/devices/{device_id}", tags=["devices"], responses=PRECONDITIONS)
async def change_device(
    device_id: str,
    body: DeviceChange,
    caller: Asks,
    devices: TheDevices,
    if_match: IfMatch,
    response: Response,
) -> DeviceView:
    """Change what is sent; null removes the patient, the model or the serial number."""
    device = await devices.update(
        caller,
        APP,
        device_id,
        type=body.type,
        attributes=body.attributes(),
        expects=lambda found: if_match.check(_tag_of(found)),
    )
    response.headers["ETag"] = _tag_of(device)
    return DeviceView.of(device)


@router.delete("/devices/{device_id}", status_code=status.HTTP_204_NO_CONTENT, tags=["devices"])
async def delete_device(device_id: str, caller: Asks, devices: TheDevices) -> None:
    """Remove the device: its credentials are revoked and its connections closed."""
    await devices.delete(caller, APP, device_id)


@router.get("/devices/{device_id}/data", tags=["data"], response_model_exclude_unset=True)
async def read_data(
    device_id: str,
    caller: Asks,
    devices: TheDevices,
    telemetry: TheTelemetry,
    audit: TheAudit,
    metric_type: str | None = None,
    from_: Annotated[
        str | None, Query(alias="from", description="ISO 8601 or epoch, inclusive")
    ] = None,
    to: Annotated[str | None, Query(description="ISO 8601 or epoch, exclusive")] = None,
    limit: Limit = 100,
    cursor: str | None = None,
    bucket: Annotated[
        str | None, Query(description="Width such as 5m or 1h: summaries instead of readings")
    ] = None,
    agg: Annotated[
        str | None, Query(description="With bucket: min, max, avg, count; several by comma")
    ] = None,
) -> DataPage:
    """Return readings newest first, a page at a time; with `bucket`, what a chart needs."""
    aggregates = _aggregates(agg)
    from_at = None if from_ is None else parse(_zone(from_), "from")
    to_at = None if to is None else parse(_zone(to), "to")
    if bucket is None and agg is not None:
        raise InvalidValueError("agg needs a bucket, such as bucket=5m", field="agg")
    if bucket is not None and cursor is not None:
        raise InvalidValueError("buckets are not paged: narrow from and to", field="cursor")
    bucket_us = None if bucket is None else _bucket_us(bucket)

    device = await devices.get(caller, APP, device_id)
    await _audit_read(audit, caller, device, "data")
    if bucket_us is not None:
        buckets = await telemetry.buckets(
            caller,
            device,
            bucket_us=bucket_us,
            metric=metric_type,
            from_at=from_at,
            to_at=to_at,
            limit=limit,
        )
        summaries = [BucketView.of(each, aggregates) for each in buckets]
        return DataPage(device_id=device_id, items=summaries, next_cursor=None)
    page = await telemetry.query(
        caller,
        device,
        metric=metric_type,
        from_at=from_at,
        to_at=to_at,
        limit=limit,
        cursor=cursor,
    )
    readings = [ReadingView.of(device_id, reading) for reading in page.items]
    return DataPage(device_id=device_id, items=readings, next_cursor=page.next_cursor)


@router.post(
    "/devices/{device_id}/command",
    status_code=status.HTTP_202_ACCEPTED,
    tags=["commands"],
    responses={
        200: {"description": "With wait: what became of it", "model": CommandView},
        409: {"description": "It expired before the device took it"},
    },
)
async def send_command(
    device_id: str,
    body: CommandRequest,
    response: Response,
    caller: Asks,
    devices: TheDevices,
    commands: TheCommands,
    wait: Annotated[
        str | None, Query(description="Wait for the outcome at most so long, such as 10s")
    ] = None,
    expires_in: Annotated[
        str | None, Query(description="Do not deliver later than this, such as 5m (default 60s)")
    ] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=128, description="Send once, however often this is repeated")
    ] = None,
) -> CommandView:
    """Send a command. 202 with its record, or with `wait` 200 with its outcome."""
    wait_s = 0.0 if wait is None else min(parse_duration(wait, "wait"), MAX_WAIT_S)
    expires_in_s = EXPIRES_IN_S if expires_in is None else parse_duration(expires_in, "expires_in")
    device = await devices.get(caller, APP, device_id)
    command = await commands.send(
        caller,
        device,
        body.command,
        body.parameters,
        expires_in_s=expires_in_s,
        idempotency_key=idempotency_key,
    )
    if wait_s > 0:
        command = await commands.wait(command.id, wait_s)
        if command.state not in OPEN_STATES:
            response.status_code = status.HTTP_200_OK
    if command.state == "expired":
        raise ConflictError(f"Command {command.id} expired: the device did not take it in time.")
    return CommandView.of(command)


@router.get("/devices/{device_id}/commands", tags=["commands"])
async def list_commands(
    device_id: str,
    caller: Asks,
    devices: TheDevices,
    commands: TheCommands,
    limit: Limit = 50,
    cursor: str | None = None,
) -> CommandPage:
    """List a device's commands with their timelines, newest first."""
    device = await devices.get(caller, APP, device_id)
    page = await commands.list(caller, device, limit=limit, cursor=cursor)
    return CommandPage(
        items=[CommandView.of(command) for command in page.items], next_cursor=page.next_cursor
    )


def _tag_of(device: DeviceRecord) -> str:
    """Return the tag of what people set of a device and this app shows."""
    return etag(device.id, device.type, device.attributes)


async def _audit_read(audit: Audit, caller: Caller, device: DeviceRecord, what: str) -> None:
    patient_id = device.attributes.get("patient_id")
    subject = f"device:{device.device_id}" if patient_id is None else f"patient:{patient_id}"
    detail = {"what": what, "device_id": device.device_id}
    await audit.record(caller, "patient.read", subject, detail=detail)


def _aggregates(agg: str | None) -> set[Aggregate]:
    if agg is None:
        return set(ALL_AGGREGATES)
    asked = {name.strip() for name in agg.split(",")}
    known: set[Aggregate] = {name for name in ALL_AGGREGATES if name in asked}
    if len(known) != len(asked):
        raise InvalidValueError("agg must be min, max, avg or count", field="agg")
    return known


def _bucket_us(bucket: str) -> int:
    width_s = parse_duration(bucket, "bucket")
    if not MIN_BUCKET_S <= width_s <= MAX_BUCKET_S:
        raise InvalidValueError("bucket must be between 1s and 366d", field="bucket")
    return round(width_s * 1_000_000)


def _zone(text: str) -> str:
    """Undo what a query string does to `2026-01-31T12:00:00+01:00`: its plus arrives as a space."""
    head, space, zone = text.strip().rpartition(" ")
    is_zone = space and "T" in head and zone.replace(":", "").isdigit() and len(zone) in (4, 5)
    return f"{head}+{zone}" if is_zone else text
