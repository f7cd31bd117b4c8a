"""HTTP: `/datastreams`, also as `/data-streams`: values of sensors, sent and read."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body as JsonBody, Query, Request, Response
from pydantic import ConfigDict
from sqlalchemy import ColumnElement, Connection, Row, func, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.carrying import STREAM, carry
from fleetwire.apps.farm.endpoints.common import (
    VALUES,
    WRITE,
    WRONG,
    Answer,
    Body,
    Cursor,
    Key,
    TheIntake,
    TheMachines,
    TheMessages,
    TheStore,
    listed,
    success,
    token_in,
)
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.said import MOST_KEY, number_of, read
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import data_streams, sensors, telemetry
from fleetwire.kit import (
    Asks,
    Caller,
    NotAcceptedError,
    Transaction,
    UnauthenticatedError,
    remote_of,
)
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.instants import iso, now, parse

PREFIXES = ("/datastreams", "/data-streams")
TOKENS = ("token", "accessToken")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LATEST = 1000

ONE = {"value": 23.5, "variableName": "temperature", "recievedAt": "2026-01-31T12:00:00Z"}
Values = Annotated[dict[str, Any], JsonBody(examples=[ONE])]
Batch = Annotated[
    dict[str, Any], JsonBody(examples=[{"dataStreams": [ONE, {"value": 24, "telemetryDataId": 1}]}])
]
Signed = Annotated[
    dict[str, Any], JsonBody(examples=[{"value": 23.5, "telemetryDataId": 1, "urgent": False}])
]
Moment = Annotated[str | None, Query(max_length=40, description="ISO 8601, or epoch s or ms")]
Bucket = Annotated[
    str | None, Query(pattern=r"^[1-9][0-9]{0,5}[smhd]$", description="Such as 5m, 1h, 1d")
]
Agg = Literal["avg", "min", "max", "sum", "count"]
AGGREGATES: Mapping[str, Callable[[Any], Any]] = {
    "avg": func.avg,
    "min": func.min,
    "max": func.max,
    "sum": func.sum,
    "count": func.count,
}
NO_TOKEN: dict[int | str, dict[str, Any]] = {
    401: {"description": "No device token, or one that is wrong, revoked or over"},
    403: {"description": "It may not be said by this token's device"},
    429: {"description": "Too many wrong tokens, or too much waits to be stored"},
}


class StreamChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"value": 23.4}]})

    value: str | float | bool | None = None
    recieved_at: str | int | None = None


def stream_routes() -> list[APIRouter]:
    """Return the routes under each of their names; the first is the one in the document."""
    return [_routes(prefix, is_shown=index == 0) for index, prefix in enumerate(PREFIXES)]


def _routes(prefix: str, *, is_shown: bool) -> APIRouter:
    router = APIRouter(
        prefix=prefix, tags=["data streams"], responses=WRONG, include_in_schema=is_shown
    )
    router.post("/token", status_code=201, responses=NO_TOKEN)(send_one)
    router.post("/batch", status_code=201, responses=NO_TOKEN)(send_many)
    router.get("")(list_streams)
    router.post("", status_code=201)(create_stream)
    router.get("/telemetry/{telemetryDataId}")(read_series)
    router.get("/{id}")(read_stream)
    router.put("/{id}", include_in_schema=False)(change_stream)
    router.patch("/{id}", responses=PRECONDITIONS)(change_stream)
    router.delete("/{id}", status_code=204)(delete_stream)
    return router


async def send_one(
    request: Request,
    body: Values,
    intake: TheIntake,
    machines: TheMachines,
    messages: TheMessages,
) -> Answer:
    """Store a value, as the sensor whose token is the Bearer."""
    holder = _holder(request, machines, body)
    if "dataStreams" in body:
        raise RefusedError("Send several values to /datastreams/batch", field="dataStreams")
    shown = await carry(intake, messages, holder, holder.device_id, STREAM, body)
    return {"status": "success", "data": shown}


async def send_many(
    request: Request,
    body: Batch,
    intake: TheIntake,
    machines: TheMachines,
    messages: TheMessages,
) -> Answer:
    """Store 1 to 1000 values, all or none, as the sensor whose token is the Bearer."""
    holder = _holder(request, machines, body)
    if "dataStreams" not in body:
        raise RefusedError("dataStreams is missing", field="dataStreams")
    shown = await carry(intake, messages, holder, holder.device_id, STREAM, body)
    return {"status": "success", "results": len(shown), "data": {"dataStreams": shown}}


async def create_stream(
    caller: Asks, body: Signed, store: TheStore, intake: TheIntake, messages: TheMessages
) -> Answer:
    """Store a value of the variable `telemetryDataId`, as a person."""
    body.pop("dataStreams", None)
    for name in TOKENS:
        body.pop(name, None)
    try:
        key = read(rows.encoded(body), now())[0].telemetry_id
    except NotAcceptedError as error:
        raise RefusedError(error.message, field=error.field) from None
    if key is None:
        raise RefusedError("telemetryDataId is missing", field="telemetryDataId")

    def work(connection: Connection) -> str:
        row = rows.find(connection, caller.organization_id, telemetry, key, "telemetryDataId")
        return str(connection.scalar(select(sensors.c.uuid).where(sensors.c.id == row.sensor_id)))

    uuid = await store.read(work)
    shown = await carry(intake, messages, caller, uuid, STREAM, body)
    return {"status": "success", "data": shown}


async def list_streams(
    caller: Asks,
    store: TheStore,
    telemetry_data_id: Annotated[
        int | None, Query(alias="telemetryDataId", ge=1, le=MOST_KEY)
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
) -> Answer:
    """List values, those stored last first."""
    caller.require(VALUES)
    where = []
    if telemetry_data_id is not None:
        where.append(data_streams.c.telemetry_data_id == telemetry_data_id)
    found = await store.read(lambda c: _latest(c, caller, limit, cursor, *where))
    return listed("dataStreams", *found)


async def read_series(
    telemetryDataId: Key,  # noqa: N803 the contract's name
    caller: Asks,
    store: TheStore,
    from_: Annotated[Moment, Query(alias="from")] = None,
    to: Moment = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = LATEST,
    cursor: Cursor = None,
    bucket: Bucket = None,
    agg: Agg = "avg",
) -> Answer:
    """Return a variable's values, newest first, or with `bucket` one figure for each stretch.

    Without parameters these are the latest 1,000.
    """
    caller.require(VALUES)
    column = data_streams.c.received_at
    where = [data_streams.c.telemetry_data_id == telemetryDataId]
    if from_ is not None:
        where.append(column >= parse(from_, "from"))
    if to is not None:
        where.append(column < parse(to, "to"))
    width = None if bucket is None else int(bucket[:-1]) * UNITS_S[bucket[-1]] * 1_000_000

    def work(connection: Connection) -> Answer:
        rows.find(connection, caller.organization_id, telemetry, telemetryDataId, "telemetryDataId")
        if width is not None:
            return _buckets(connection, where, width, agg, limit)
        return listed("dataStreams", *_newest(connection, where, limit, cursor))

    return await store.read(work)


async def read_stream(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a value."""
    caller.require(VALUES)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, data_streams, id))
    response.headers["ETag"] = _tag_of(row)
    return success(dataStream=rows.shown(row))


async def change_stream(
    id: Key,
    caller: Asks,
    body: StreamChange,
    store: TheStore,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Correct a value. What the platform and dashboards were told of it stays as it was."""
    caller.require(WRITE)
    values: dict[str, Any] = {}
    if body.value is not None:
        values |= {"value": body.value, "number": number_of(body.value)}
    if body.recieved_at is not None:
        values["received_at"] = parse(body.recieved_at, "recievedAt")

    def work(tx: Transaction) -> Row[Any]:
        row = rows.find(tx.connection, caller.organization_id, data_streams, id)
        if_match.check(_tag_of(row))
        return rows.change(tx, data_streams, id, **values)

    row = await store.write(work)
    response.headers["ETag"] = _tag_of(row)
    return success(dataStream=rows.shown(row))


async def delete_stream(id: Key, caller: Asks, store: TheStore) -> None:
    """Remove a value."""
    caller.require(WRITE)

    def work(tx: Transaction) -> None:
        rows.find(tx.connection, caller.organization_id, data_streams, id)
        rows.remove(tx, data_streams, id)

    await store.write(work)


def _holder(request: Request, machines: Any, body: dict[str, Any]) -> Caller:
    """Return whose token stands in the body, which it is taken out of, or is the Bearer."""
    said = [body.pop(name) for name in TOKENS if name in body]
    token = next((each for each in said if isinstance(each, str)), "") or token_in(request)
    if not token:
        raise UnauthenticatedError("Send the device token as `Authorization: Bearer <token>`.")
    found = machines.holder(APP, token, remote_of(request))
    assert isinstance(found, Caller)
    return found


def _tag_of(row: Row[Any]) -> str:
    return etag(row.id, row.value, row.received_at)


def _latest(
    connection: Connection,
    caller: Caller,
    limit: int,
    cursor: str | None,
    *where: ColumnElement[bool],
) -> tuple[list[Row[Any]], str | None]:
    asked = select(data_streams).where(data_streams.c.tenant_id == caller.organization_id, *where)
    if cursor is not None:
        asked = asked.where(data_streams.c.id < rows.number_of(cursor))
    found = list(connection.execute(asked.order_by(data_streams.c.id.desc()).limit(limit + 1)))
    return found[:limit], str(found[limit - 1].id) if len(found) > limit else None


def _newest(
    connection: Connection, where: list[ColumnElement[bool]], limit: int, cursor: str | None
) -> tuple[list[Row[Any]], str | None]:
    """Return a variable's rows by their own time; the cursor is the last row's key."""
    at, id = data_streams.c.received_at, data_streams.c.id
    asked = select(data_streams).where(*where)
    if cursor is not None:
        last = rows.number_of(cursor)
        reached = select(at).where(id == last).scalar_subquery()
        asked = asked.where((at < reached) | ((at == reached) & (id < last)))
    asked = asked.order_by(at.desc(), id.desc()).limit(limit + 1)
    found = list(connection.execute(asked).all())
    return found[:limit], str(found[limit - 1].id) if len(found) > limit else None


def _buckets(
    connection: Connection, where: list[ColumnElement[bool]], width: int, agg: str, limit: int
) -> Answer:
    at = data_streams.c.received_at
    begins = (at - at % width).label("begins")
    figure = AGGREGATES[agg](data_streams.c.number).label("figure")
    asked = (
        select(begins, figure, func.count(data_streams.c.number).label("count"))
        .where(*where, data_streams.c.number.is_not(None))
        .group_by(begins)
        .order_by(begins.desc())
        .limit(limit)
    )
    shown = [
        {"bucket": iso(row.begins), agg: row.figure, "count": row[2]}
        for row in connection.execute(asked)
    ]
    return {
        "status": "success",
        "results": len(shown),
        "data": {"buckets": shown},
        "nextCursor": None,
    }
