"""HTTP: all devices as one file."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from fleetwire.features.devices.export import LINES, MEDIA_TYPES, DeviceExport, Format
from fleetwire.features.devices.query import MAX_QUERY_CHARS
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

TheExport = Annotated[DeviceExport, service(DeviceExport)]


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Every device that is meant, in the order of registration",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        }
    },
)
async def export_devices(
    caller: Asks,
    export: TheExport,
    format: Format = "ndjson",
    app: Annotated[str | None, Query(max_length=64)] = None,
    query: Annotated[
        str | None, Query(max_length=MAX_QUERY_CHARS, examples=["area:Clinic and tag:cold"])
    ] = None,
) -> StreamingResponse:
    """Give devices as one file that the bulk import takes back. That it was asked is on record.

    In CSV a text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    pages = await export.pages(caller, app=app, query=query)
    return StreamingResponse(
        LINES[format](pages),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="devices.{format}"'},
    )
