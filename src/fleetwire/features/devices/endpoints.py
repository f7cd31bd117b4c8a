"""HTTP: devices of all apps, and their credentials."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.schemas import (
    CertificateRequest,
    Change,
    CredentialRecordView,
    CredentialRequest,
    CredentialView,
    DevicePage,
    DeviceView,
    RegisteredView,
    Registration,
)
from fleetwire.features.devices.service import DeviceService
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse
from fleetwire.kit.services import DeviceRecord, Devices

MAX_OVERLAP_S = 365 * 86_400.0

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

TheDevices = Annotated[Devices, service(Devices)]
TheDeviceService = Annotated[DeviceService, service(DeviceService)]


def tag_of(device: DeviceRecord) -> str:
    """Return the tag of what people set of a device; what it reports does not change it."""
    return etag(device.id, device.type, device.name, device.attributes, device.tags, device.area_id)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "The device_id is taken in this app"}},
)
async def register(body: Registration, caller: Asks, devices: TheDevices) -> RegisteredView:
    """Register a device. Its MQTT password is in this answer only."""
    device, credential = await devices.register(
        caller,
        body.app,
        body.device_id,
        body.type,
        name=body.name,
        attributes=body.attributes,
        tags=body.tags,
        area_id=body.area_id,
    )
    return RegisteredView(device=DeviceView.of(device), credential=CredentialView.of(credential))


@router.get("")
async def list_devices(
    caller: Asks,
    devices: TheDevices,
    app: str | None = None,
    search: Annotated[
        str | None, Query(max_length=200, description="occurs in device_id, name or type")
    ] = None,
    query: Annotated[
        str | None, Query(max_length=1000, examples=["tag:cold and not connected:true"])
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> DevicePage:
    """List the organisation's devices in the order of registration."""
    page = await devices.list(caller, app, search=search, query=query, limit=limit, cursor=cursor)
    return DevicePage(
        items=[DeviceView.of(device) for device in page.items], next_cursor=page.next_cursor
    )


@router.get("/{app}/{device_id}")
async def read_device(
    app: str, device_id: str, caller: Asks, devices: TheDevices, response: Response
) -> DeviceView:
    """Return one device with what it reported and whether it is there."""
    device = await devices.get(caller, app, device_id)
    response.headers["ETag"] = tag_of(device)
    return DeviceView.of(device)


@router.patch("/{app}/{device_id}", responses=PRECONDITIONS)
async def change_device(
    app: str,
    device_id: str,
    body: Change,
    caller: Asks,
    devices: TheDevices,
    if_match: IfMatch,
    response: Response,
) -> DeviceView:
    """Change what is sent; a null attribute is removed."""
    device = await devices.update(
        caller,
        app,
        device_id,
        name=body.name,
        type=body.type,
        attributes=body.attributes,
        tags=body.tags,
        area_id=body.area_to_be,
        expects=lambda found: if_match.check(tag_of(found)),
    )
    response.headers["ETag"] = tag_of(device)
    return DeviceView.of(device)


@router.delete("/{app}/{device_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_device(app: str, device_id: str, caller: Asks, devices: TheDevices) -> None:
    """Remove a device: its credentials are revoked, its connections closed."""
    await devices.delete(caller, app, device_id)


@router.post("/{app}/{device_id}/credentials", status_code=status.HTTP_201_CREATED)
async def issue_credential(
    app: str, device_id: str, body: CredentialRequest, caller: Asks, devices: TheDevices
) -> CredentialView:
    """Issue credentials beside the existing ones. The password is in this answer only.

    To rotate, say an `overlap`: for so long the device may still connect with its older tokens.
    """
    expires_at = None if body.expires_at is None else parse(body.expires_at, "expires_at")
    overlap_s = None if body.overlap is None else parse_duration(body.overlap, "overlap")
    if overlap_s is not None and overlap_s > MAX_OVERLAP_S:
        raise InvalidValueError("overlap must be a year at most", field="overlap")
    credential = await devices.issue_credential(
        caller, app, device_id, expires_at=expires_at, overlap_s=overlap_s
    )
    return CredentialView.of(credential)


@router.post(
    "/{app}/{device_id}/certificates",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "The certificate is a device's credential already"}},
)
async def bind_certificate(
    app: str, device_id: str, body: CertificateRequest, caller: Asks, devices: TheDeviceService
) -> CredentialRecordView:
    """Let the device sign in with a client certificate. It is revoked as other credentials."""
    expires_at = None if body.expires_at is None else parse(body.expires_at, "expires_at")
    record = await devices.bind_certificate(
        caller, app, device_id, body.fingerprint, expires_at=expires_at
    )
    return CredentialRecordView.of(record)


@router.get("/{app}/{device_id}/credentials")
async def list_credentials(
    app: str, device_id: str, caller: Asks, devices: TheDevices
) -> list[CredentialRecordView]:
    """List a device's credentials, without their passwords."""
    records = await devices.credentials(caller, app, device_id)
    return [CredentialRecordView.of(record) for record in records]


@router.delete(
    "/{app}/{device_id}/credentials/{credential_id}", status_code=status.HTTP_204_NO_CONTENT
)
async def revoke_credential(
    app: str, device_id: str, credential_id: int, caller: Asks, devices: TheDevices
) -> None:
    """Revoke credentials; what is connected with them is closed at once."""
    await devices.revoke_credential(caller, app, device_id, credential_id)
