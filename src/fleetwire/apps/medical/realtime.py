"""WebSocket `/ws/mqtt`: committed events as they happen, or from a cursor on.

One text frame per event. A reader that cannot keep up is held at its own socket: the stream behind
it is bounded and catches up from the store, so others do not notice and nothing is skipped.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from fleetwire.apps.medical.endpoints import APP, TheAudit, TheDevices
from fleetwire.kit import (
    DomainError,
    InvalidValueError,
    LiveEvent,
    NotFoundError,
    Realtime,
    service,
    who_asks,
)

RECHECK_S = 30.0  # a token may expire, an account be closed, while the socket stays open
MAX_REASON_BYTES = 123  # RFC 6455 §5.5: a close frame holds 125, two of them are the code
MAX_CURSOR = 2**63 - 1

router = APIRouter()


@router.websocket("/ws/mqtt")
async def follow(
    websocket: WebSocket,
    realtime: Annotated[Realtime, service(Realtime)],
    devices: TheDevices,
    audit: TheAudit,
) -> None:
    """Push events, narrowed by `?device_id=` and `?patient_id=`, resumed by `?since=<cursor>`.

    A refusal closes with 4000 + the HTTP status and the reason, which a browser can read.
    """
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
        await websocket.accept()
        await _refuse(websocket, error)
        return

    async with aclosing(events):
        await anext(events)  # it listens now, before the client may believe so
        await websocket.accept()
        pushing = asyncio.create_task(_push(websocket, events))
        watching = asyncio.create_task(_watch(websocket))
        try:
            await asyncio.wait({pushing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pushing, watching):
                task.cancel()
            ends = await asyncio.gather(pushing, watching, return_exceptions=True)
    for end in ends:
        if isinstance(end, DomainError):
            await _refuse(websocket, end)
        elif isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
            raise end


async def _push(websocket: WebSocket, events: AsyncGenerator[list[LiveEvent], None]) -> None:
    async for batch in events:
        for event in batch:
            assert event.text is not None, "the stream encodes"
            await websocket.send_text(event.text)
        # Sending into a socket with room does not pause; a long catch-up must let others in.
        await asyncio.sleep(0)


async def _watch(websocket: WebSocket) -> None:
    """Return when the client has gone. Raises UnauthenticatedError once it may not stay.

    What a client sends has no meaning here and is passed over.
    """
    receiving = asyncio.ensure_future(websocket.receive())
    try:
        while True:
            done, _ = await asyncio.wait({receiving}, timeout=RECHECK_S)
            if not done:
                await who_asks(websocket)
                continue
            if receiving.result()["type"] == "websocket.disconnect":
                return
            receiving = asyncio.ensure_future(websocket.receive())
    finally:
        receiving.cancel()


async def _refuse(websocket: WebSocket, error: DomainError) -> None:
    reason = error.message.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with suppress(RuntimeError, WebSocketDisconnect):  # the client has gone already
        await websocket.close(4000 + error.status, reason)


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
