"""WebSocket `/ws/order:{order_id}`: a kiosk is told of every change of its order.

The room is open to whoever knows the order's id, which cannot be guessed. The first frame is the
order as it is; it is read once the socket listens, so that no change falls between.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, WebSocket
from sqlalchemy import Connection

from fleetwire.apps.vending import orders
from fleetwire.apps.vending.endpoints.depends import TheDevices, TheStore
from fleetwire.apps.vending.machines import APP
from fleetwire.kit import (
    Caller,
    Devices,
    DomainError,
    LiveEvent,
    NotFoundError,
    Realtime,
    Store,
    follow,
    refuse,
    service,
)

MOST_PER_ADDRESS: Final = 50  # kiosks behind one address
MAX_ORDER_ID: Final = 40

router = APIRouter()


@router.websocket("/ws/order:{order_id}")
async def follow_order(
    websocket: WebSocket,
    order_id: str,
    store: TheStore,
    devices: TheDevices,
    realtime: Annotated[Realtime, service(Realtime)],
) -> None:
    """Push `{"room":"order:…","event":"order.status","data":{…}}` for every change of state.

    A refusal closes with 4000 + the HTTP status and the reason.
    """
    try:
        order = await store.read(
            lambda connection: orders.find(connection, order_id[: MAX_ORDER_ID + 1])
        )
        events = realtime.stream(
            Caller.system(order.organization_id),
            app=APP,
            matches=lambda event: (
                event.name == orders.STATUS_EVENT and event.body.get("order_id") == order_id
            ),
        )
    except DomainError as error:
        await refuse(websocket, error)
        return
    present = _with_present(events, store, devices, order_id)
    await follow(websocket, present, say=frame_of, most_per_address=MOST_PER_ADDRESS)


def frame_of(event: LiveEvent) -> str:
    """Return an order's event as kiosks read it."""
    told = {"room": f"order:{event.body['order_id']}", "event": event.name, "data": event.body}
    return msgspec.json.encode(told).decode()


async def _with_present(
    events: AsyncGenerator[list[LiveEvent], None], store: Store, devices: Devices, order_id: str
) -> AsyncGenerator[list[LiveEvent], None]:
    """Yield what is told, and after the first list, when nothing is missed any more, what is."""
    async with aclosing(events):
        is_first = True
        async for batch in events:
            yield batch
            if is_first:
                is_first = False
                yield [await store.read(lambda connection: _present(connection, devices, order_id))]


def _present(connection: Connection, devices: Devices, order_id: str) -> LiveEvent:
    order = orders.find(connection, order_id)
    device = devices.find(APP, order.machine_id)
    if device is None:
        raise NotFoundError("The order's machine is no more", field="order_id")
    event = orders.told(connection, device, order_id, order.status)
    return LiveEvent(0, APP, device, event.name, "", event.body, order.updated_at)
