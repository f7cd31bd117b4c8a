"""WebSocket `/ws/mqtt`: committed events as they happen, or from a cursor on."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, WebSocket

from fleetwire.apps.medical.endpoints import APP, TheAudit, TheDevices
from fleetwire.kit import (
    DomainError,
    InvalidValueError,
    LiveEvent,
    NotFoundError,
    Realtime,
    follow as push,
    refuse,
    service,
    who_asks,
)

MAX_CURSOR = 2**63 - 1

router = APIRouter()


@router.websocket("/ws/mqtt")
async def follow(
    websocket: WebSocket,
    realtime: Annotated[Realtime, service(Realtime)],
    devices: TheDevices,
    audit: TheAudit,
) -> None:
    """Push events, narrowed by `?device_id=` and `?patient_id=`, resumed by `?since=<cursor>`."""
    device_id = websocket.query_params.get("device_id")
    patient_id = websocket.query_params.get("patient_id")
    try:
        caller = await who_asks(websocket)
        since = _cursor(websocket.query_params.get("since"))
        if device_id is not None:
            device = devices.find(APP, device_id)
            if device is None or device.organization_id != caller.organization_id:
                raise NotFoundError(f"There is no device {device_id[:60]!r}.", field="device_id")
        events = realtime.stream(
            caller, app=APP, matches=_filter(device_id, patient_id), since=since
        )
        detail = {"what": "live", "device_id": device_id, "since": since}
        await audit.record(caller, "patient.read", _subject(device_id, patient_id), detail=detail)
    except DomainError as error:
        await refuse(websocket, error)
        return
    await push(websocket, events, is_signed_in=True)


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_CURSOR))
    if not is_number or int(text) > MAX_CURSOR:
        raise InvalidValueError("since must be the cursor of an event", field="since")
    return int(text)


def _filter(device_id: str | None, patient_id: str | None) -> Callable[[LiveEvent], bool]:
    def matches(event: LiveEvent) -> bool:
        device = event.device
        return (device_id is None or device.device_id == device_id) and (
            patient_id is None or device.attributes.get("patient_id") == patient_id
        )

    return matches


def _subject(device_id: str | None, patient_id: str | None) -> str:
    if patient_id is not None:
        return f"patient:{patient_id}"[:256]
    return "patients" if device_id is None else f"device:{device_id}"
