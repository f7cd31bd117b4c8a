"""HTTP: the tree of areas."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from fleetwire.features.areas.rules import MAX_PATH_CHARS
from fleetwire.features.areas.schemas import MAX_KEY, AreaChange, AreaPage, AreaView, NewArea
from fleetwire.kit.areas import Area, Areas
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/areas", tags=["areas"])

TheAreas = Annotated[Areas, service(Areas)]
AreaId = Annotated[int, Path(ge=1, le=MAX_KEY)]


def tag_of(area: Area) -> str:
    """Return the tag of what people set of an area."""
    return etag(area.id, area.parent_id, area.name, area.attributes)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        409: {"description": "There is an area of this name there"},
        429: {"description": "The organisation has as many areas as it may have"},
    },
)
async def create_area(body: NewArea, caller: Asks, areas: TheAreas, response: Response) -> AreaView:
    """Add an area, at the top or in another one."""
    area = await areas.create(
        caller, body.name, parent_id=body.parent_id, attributes=body.attributes
    )
    response.headers["ETag"] = tag_of(area)
    return AreaView.of(area)


@router.get("")
async def list_areas(
    caller: Asks,
    areas: TheAreas,
    parent_id: Annotated[
        int | None, Query(ge=0, le=MAX_KEY, description="directly in this one; 0 = at the top")
    ] = None,
    under: Annotated[
        str | None,
        Query(
            max_length=MAX_PATH_CHARS, description="this path and all below", examples=["Clinic"]
        ),
    ] = None,
    search: Annotated[str | None, Query(max_length=200, description="occurs in the name")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> AreaPage:
    """List the organisation's areas in the order they were made."""
    page = await areas.list(
        caller, parent_id=parent_id, under=under, search=search, limit=limit, cursor=cursor
    )
    return AreaPage(items=[AreaView.of(area) for area in page.items], next_cursor=page.next_cursor)


@router.get("/{area_id}")
async def read_area(area_id: AreaId, caller: Asks, areas: TheAreas, response: Response) -> AreaView:
    """Return one area."""
    area = await areas.get(caller, area_id)
    response.headers["ETag"] = tag_of(area)
    return AreaView.of(area)


@router.patch(
    "/{area_id}",
    responses=PRECONDITIONS
    | {409: {"description": "The name is taken there, or the area would stand in itself"}},
)
async def change_area(
    area_id: AreaId,
    body: AreaChange,
    caller: Asks,
    areas: TheAreas,
    if_match: IfMatch,
    response: Response,
) -> AreaView:
    """Rename, move or describe an area; what is below comes along."""
    area = await areas.update(
        caller,
        area_id,
        name=body.name,
        parent_id=body.parent_to_be,
        attributes=body.attributes,
        expects=lambda found: if_match.check(tag_of(found)),
    )
    response.headers["ETag"] = tag_of(area)
    return AreaView.of(area)


@router.delete(
    "/{area_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"description": "It holds devices or areas"}},
)
async def delete_area(area_id: AreaId, caller: Asks, areas: TheAreas) -> None:
    """Remove an area that holds nothing."""
    await areas.delete(caller, area_id)
