"""HTTP: the devices of an area."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from fleetwire.features.devices.schemas import MAX_KEY, DevicePage, DeviceView
from fleetwire.kit.http import Asks, service
from fleetwire.kit.services import Devices

router = APIRouter(prefix="/api/v1/areas", tags=["areas"])

TheDevices = Annotated[Devices, service(Devices)]


@router.get("/{area_id}/devices")
async def list_area_devices(
    area_id: Annotated[int, Path(ge=1, le=MAX_KEY)],
    caller: Asks,
    devices: TheDevices,
    app: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> DevicePage:
    """List the devices of an area and of all below it, in the order of registration."""
    page = await devices.list(caller, app, area_id=area_id, limit=limit, cursor=cursor)
    return DevicePage(
        items=[DeviceView.of(device) for device in page.items], next_cursor=page.next_cursor
    )
