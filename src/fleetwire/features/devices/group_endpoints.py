"""HTTP: groups of devices by query."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fleetwire.features.devices.groups import (
    MAX_DESCRIPTION_CHARS,
    MAX_NAME_CHARS,
    MAX_SEARCH_CHARS,
    Group,
    Groups,
)
from fleetwire.features.devices.query import MAX_QUERY_CHARS
from fleetwire.features.devices.schemas import DevicePage, DeviceView
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1/groups", tags=["groups"])

TheGroups = Annotated[Groups, service(Groups)]

_GROUP: dict[str, JsonValue] = {
    "name": "cold-floor-2",
    "description": "Fridges of the second floor",
    "query": "tag:cold and attr.floor=2",
}


class NewGroup(BaseModel):
    """A group to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP]})

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARS)
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)


class GroupChange(BaseModel):
    """What is to be changed; what is not sent stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": "tag:cold"}]})

    query: str | None = Field(None, min_length=1, max_length=MAX_QUERY_CHARS)
    description: str | None = Field(None, max_length=MAX_DESCRIPTION_CHARS)


class GroupView(BaseModel):
    """A named query. Whom it means is asked for at `/groups/{name}/devices`."""

    name: str
    description: str
    query: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, group: Group) -> "GroupView":
        """Return the view of a group."""
        return cls(
            name=group.name,
            description=group.description,
            query=group.query,
            created_at=iso(group.created_at),
            updated_at=iso(group.updated_at),
        )


class GroupPage(BaseModel):
    """One page of groups, in the order they were made."""

    items: list[GroupView]
    next_cursor: str | None = None


def tag_of(group: Group) -> str:
    """Return the tag of what people set of a group."""
    return etag(group.id, group.query, group.description)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "The name is taken"}},
)
async def create_group(
    body: NewGroup, caller: Asks, groups: TheGroups, response: Response
) -> GroupView:
    """Name a query. A fault in it is answered 422 with its place."""
    group = await groups.create(caller, body.name, body.query, body.description)
    response.headers["ETag"] = tag_of(group)
    return GroupView.of(group)


@router.get("")
async def list_groups(
    caller: Asks,
    groups: TheGroups,
    search: Annotated[
        str | None,
        Query(max_length=MAX_SEARCH_CHARS, description="occurs in name or description"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> GroupPage:
    """List the organisation's groups in the order they were made."""
    page = await groups.list(caller, search=search, limit=limit, cursor=cursor)
    return GroupPage(
        items=[GroupView.of(group) for group in page.items], next_cursor=page.next_cursor
    )


@router.get("/{name}")
async def read_group(name: str, caller: Asks, groups: TheGroups, response: Response) -> GroupView:
    """Return one group."""
    group = await groups.get(caller, name)
    response.headers["ETag"] = tag_of(group)
    return GroupView.of(group)


@router.get("/{name}/devices")
async def list_group_devices(
    name: str,
    caller: Asks,
    groups: TheGroups,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> DevicePage:
    """List the devices that the group's query means now."""
    page = await groups.devices(caller, name, limit=limit, cursor=cursor)
    return DevicePage(
        items=[DeviceView.of(device) for device in page.items], next_cursor=page.next_cursor
    )


@router.patch("/{name}", responses=PRECONDITIONS)
async def change_group(
    name: str,
    body: GroupChange,
    caller: Asks,
    groups: TheGroups,
    if_match: IfMatch,
    response: Response,
) -> GroupView:
    """Change what is sent."""
    group = await groups.update(
        caller,
        name,
        query=body.query,
        description=body.description,
        expects=lambda found: if_match.check(tag_of(found)),
    )
    response.headers["ETag"] = tag_of(group)
    return GroupView.of(group)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_group(name: str, caller: Asks, groups: TheGroups) -> None:
    """Remove a group; its devices stay."""
    await groups.delete(caller, name)
