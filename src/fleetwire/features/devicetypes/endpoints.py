"""HTTP: what kinds of devices there are."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response, status

from fleetwire.features.devicetypes.schemas import NewType, TypeChange, TypePage, TypeView
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.http import Asks, service
from fleetwire.kit.types import DeviceTypeRecord, DeviceTypes

router = APIRouter(prefix="/api/v1/device-types", tags=["device types"])

TheTypes = Annotated[DeviceTypes, service(DeviceTypes)]


def tag_of(record: DeviceTypeRecord) -> str:
    """Return the tag of what a type says."""
    return etag(record.id, msgspec.to_builtins(record.type))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        409: {"description": "The organisation has a type of this name"},
        429: {"description": "The organisation has as many types as it may have"},
    },
)
async def create_type(body: NewType, caller: Asks, types: TheTypes, response: Response) -> TypeView:
    """Say what devices of one kind are. By the name of an app's type it takes its place."""
    record = await types.create(caller, body.type())
    response.headers["ETag"] = tag_of(record)
    return TypeView.of(record)


@router.get("")
async def list_types(
    caller: Asks,
    types: TheTypes,
    search: Annotated[str | None, Query(max_length=200, description="occurs in the name")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> TypePage:
    """List the types that apps declare, then the organisation's own."""
    page = await types.list(caller, search=search, limit=limit, cursor=cursor)
    return TypePage(
        items=[TypeView.of(record) for record in page.items], next_cursor=page.next_cursor
    )


@router.get("/{name}")
async def read_type(
    name: str,
    caller: Asks,
    types: TheTypes,
    response: Response,
    app: Annotated[
        str | None, Query(max_length=64, description="the type that this app declares")
    ] = None,
) -> TypeView:
    """Return the organisation's type of this name, or else an app's."""
    record = await types.get(caller, name, app=app)
    response.headers["ETag"] = tag_of(record)
    return TypeView.of(record)


@router.patch(
    "/{name}", responses=PRECONDITIONS | {409: {"description": "An app declares this type"}}
)
async def change_type(
    name: str,
    body: TypeChange,
    caller: Asks,
    types: TheTypes,
    if_match: IfMatch,
    response: Response,
) -> TypeView:
    """Change what is sent; what comes from then on is held against it."""
    record = await types.update(
        caller, name, body.applied, expects=lambda found: if_match.check(tag_of(found))
    )
    response.headers["ETag"] = tag_of(record)
    return TypeView.of(record)


@router.delete(
    "/{name}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"description": "Devices are of this type, or an app declares it"}},
)
async def delete_type(name: str, caller: Asks, types: TheTypes) -> None:
    """Remove a type that no device is of."""
    await types.delete(caller, name)
