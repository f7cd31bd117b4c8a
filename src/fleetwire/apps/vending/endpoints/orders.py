"""HTTP and WebSocket: orders. Whoever knows an order's id may see it; it cannot be guessed.

A kiosk is told of every change of its order, in the room `order:{order_id}` of Socket.IO's root
namespace or at the WebSocket `/ws/order:{order_id}`. First it is told how the order stands; that is
read once the kiosk is in the room, so that no change falls between.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, WebSocket
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from fleetwire.apps.vending import machines, orders, states
from fleetwire.apps.vending.endpoints.common import (
    ORDERS_PER_MINUTE,
    PER_MINUTE,
    READ,
    LenientRoute,
    Limit,
    MachineId,
    Offset,
    OrderId,
    TheDevices,
    TheStore,
    require_machine,
    scope_of,
)
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.machines import APP
from fleetwire.apps.vending.shop import Shop
from fleetwire.kit import (
    Asks,
    Caller,
    Devices,
    DomainError,
    InvalidValueError,
    LiveEvent,
    NotFoundError,
    Realtime,
    SocketClient,
    Sockets,
    SocketSpace,
    Store,
    Visitor,
    follow,
    open_to_all,
    refuse,
    service,
)

Method = Literal["qris", "va", "gopay", "shopeepay"]
RoomName = Annotated[str, msgspec.Meta(max_length=48)]
Rooms = RoomName | Annotated[list[RoomName], msgspec.Meta(max_length=20)]
Phone = Annotated[str | None, Field(max_length=32, pattern=r"^[0-9+() -]*$")]
SlotId = Annotated[int, Field(ge=1, le=2**53)]
Quantity = Annotated[int, Field(ge=1, le=10)]

_ONE: dict[str, Any] = {"slot_id": 1, "quantity": 1, "payment_method": "qris"}
_MANY: dict[str, Any] = {
    "items": [{"slot_id": 1, "quantity": 1}, {"slot_id": 2, "quantity": 2}],
    "payment_method": "gopay",
}


class NewOrder(BaseModel):
    """One product, so many times."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ONE]})

    slot_id: SlotId
    quantity: Quantity = 1
    customer_phone: Phone = None
    payment_method: Method


class Item(BaseModel):
    """A slot, so many times."""

    slot_id: SlotId
    quantity: Quantity = 1


class NewOrderOfMany(BaseModel):
    """Several products of one machine."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MANY]})

    items: list[Item] = Field(min_length=1, max_length=10)
    customer_phone: Phone = None
    payment_method: Method


_CREATED: dict[int | str, dict[str, Any]] = {
    400: {"description": "There are not so many, or a value does not fit"},
    404: {"description": "No such slot sells anything"},
    502: {"description": "The payment gateway failed"},
}


def routes(the_shop: Any) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=LenientRoute, prefix="/api/orders", tags=["orders"])
    creating = [open_to_all(per_minute=ORDERS_PER_MINUTE)]

    @router.post("", status_code=201, dependencies=creating, responses=_CREATED)
    async def create_order(
        visitor: Visitor, body: NewOrder, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Order, with the stock set aside for 15 minutes; the answer says how to pay."""
        return await shop.open_order(
            [(body.slot_id, body.quantity)], body.payment_method, body.customer_phone
        )

    @router.post("/multi", status_code=201, dependencies=creating, responses=_CREATED)
    async def create_order_of_many(
        visitor: Visitor, body: NewOrderOfMany, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Order several products of one machine at once."""
        wanted = [(item.slot_id, item.quantity) for item in body.items]
        return await shop.open_order(wanted, body.payment_method, body.customer_phone)

    @router.get("/machine/{machine_id}")
    async def list_orders(
        caller: Asks,
        machine_id: MachineId,
        store: TheStore,
        status: Annotated[str | None, Query(max_length=20)] = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """List a machine's orders, newest first."""
        require_machine(caller, machine_id, READ)
        if status is not None and status.upper() not in states.ALL:
            raise RefusedError(f"status must be one of {', '.join(sorted(states.ALL))}")

        def work(connection: Any) -> dict[str, Any]:
            machines.find(connection, caller.organization_id, machine_id)
            return orders.of_machine(
                connection,
                machine_id,
                status=None if status is None else status.upper(),
                limit=limit,
                offset=offset,
            )

        return await store.read(work)

    @router.get("/{order_id}", dependencies=[open_to_all(per_minute=PER_MINUTE)])
    async def read_order(
        visitor: Visitor, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Return an order."""
        return await shop.order(order_id, scope_of(visitor))

    return router


MOST_PER_ADDRESS: Final = 50  # kiosks behind one address
MAX_ORDER_ID: Final = 40

room = APIRouter()
kiosks = SocketSpace("/", is_open=True)


@room.websocket("/ws/order:{order_id}")
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


@kiosks.on("join")
async def join(client: SocketClient, rooms: Rooms, store: Store) -> dict[str, Any]:
    """Enter rooms such as `order:ORD-…`, and be told `order.status` of each change."""
    for name in [rooms] if isinstance(rooms, str) else rooms:
        await _enter(client, name, store)
    return {"rooms": sorted(client.rooms)}


async def _enter(client: SocketClient, room_name: str, store: Store) -> None:
    order_id = room_name.removeprefix("order:")
    if order_id == room_name:
        raise InvalidValueError("A room is order: and the order's id", field="room")
    order = await store.read(lambda connection: orders.find(connection, order_id))
    client.enter(room_name, organization_id=order.organization_id)
    status = await store.read(lambda connection: orders.status_of(connection, order_id))
    client.emit(orders.STATUS_EVENT, status)


@kiosks.on("leave")
async def leave(client: SocketClient, rooms: Rooms) -> dict[str, Any]:
    """Leave rooms."""
    for name in [rooms] if isinstance(rooms, str) else rooms:
        client.leave(name)
    return {"rooms": sorted(client.rooms)}


async def push(event: LiveEvent, sockets: Sockets) -> None:
    """Tell the kiosks in the room of an order that has changed."""
    sockets.emit(
        kiosks,
        event.name,
        event.body,
        organization_id=event.device.organization_id,
        room=f"order:{event.body['order_id']}",
    )


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
