"""WebSocket `/ws`: what tablets do, as it happens.

The first frame is `{"type": "connected", …}`, each one after it an event.
"""

from typing import Annotated

import msgspec
from fastapi import APIRouter, WebSocket

from fleetwire.apps.tablets.action_log import ACTION_EVENT
from fleetwire.apps.tablets.location import LOCATION_EVENT
from fleetwire.apps.tablets.maintenance import BORROW_EVENT
from fleetwire.apps.tablets.metrics import METRICS_EVENT
from fleetwire.apps.tablets.presence import APP, STATUS_EVENT
from fleetwire.kit import DomainError, LiveEvent, Realtime, follow, refuse, service
from fleetwire.kit.caller import SYSTEM
from fleetwire.kit.http import who_develops

# Event → type of its frame.
TYPES = {
    STATUS_EVENT: "device_status",
    LOCATION_EVENT: "device_location",
    METRICS_EVENT: "device_metrics",
    ACTION_EVENT: "device_event",
    BORROW_EVENT: "device_borrow_status",
}
GREETING = '{"type":"connected","message":"WebSocket connected"}'

router = APIRouter()


@router.websocket("/ws")
async def follow_tablets(
    websocket: WebSocket, realtime: Annotated[Realtime, service(Realtime)]
) -> None:
    """Push events of the caller's organisation.

    The token comes in `?token=` or the Authorization header; in development, from this machine,
    none is needed. A refusal closes with 4000 + the HTTP status and the reason.
    """
    try:
        caller = await who_develops(websocket)
        events = realtime.stream(caller, app=APP, matches=lambda event: event.name in TYPES)
    except DomainError as error:
        await refuse(websocket, error)
        return
    is_signed_in = caller.actor != SYSTEM
    await follow(websocket, events, say=frame_of, greeting=GREETING, is_signed_in=is_signed_in)


def frame_of(event: LiveEvent) -> str:
    """Return `{type, deviceId, deviceCode, data}`."""
    told = {
        "type": TYPES[event.name],
        "deviceId": event.device.id,
        "deviceCode": event.device.device_id,
        "data": event.body,
    }
    return msgspec.json.encode(told).decode()
