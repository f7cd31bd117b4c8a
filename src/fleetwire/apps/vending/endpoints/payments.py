"""HTTP: payments. The webhook is guarded by its signature."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict

from fleetwire.apps.vending import orders, payments, states
from fleetwire.apps.vending.endpoints.common import (
    OPERATE,
    PER_MINUTE,
    WEBHOOKS_PER_MINUTE,
    LenientRoute,
    OrderId,
    scope_of,
)
from fleetwire.apps.vending.endpoints.orders import Method
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.gateways import Notification, Sandbox, sandbox_page
from fleetwire.apps.vending.shop import Shop
from fleetwire.kit import Asks, Caller, NotFoundError, Visitor, open_to_all, remote_of

REQUIRED = (
    "order_id",
    "transaction_status",
    "transaction_id",
    "status_code",
    "gross_amount",
    "signature_key",
)
MAX_CHARS = 200
_EXAMPLE: dict[str, Any] = {
    "order_id": "ORD-20260131-7K2MPQ4X",
    "transaction_status": "settlement",
    "transaction_id": "9aed5972-5b6a-401e-894b-a32c91ed1a3a",
    "payment_type": "qris",
    "status_code": "200",
    "gross_amount": "5000.00",
    "signature_key": "fe5f725ea770c451017e9d6300af72b8",
}


class Webhook(BaseModel):
    """What a gateway says of a transaction; fields beyond these are kept with it."""

    model_config = ConfigDict(
        extra="allow", coerce_numbers_to_str=True, json_schema_extra={"examples": [_EXAMPLE]}
    )

    order_id: str | None = None
    transaction_status: str | None = None
    transaction_id: str | None = None
    payment_type: str | None = None
    status_code: str | None = None
    gross_amount: str | None = None
    signature_key: str | None = None
    fraud_status: str | None = None


class MethodChange(BaseModel):
    """How the order is to be paid instead."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"payment_method": "va"}]})

    payment_method: Method


def routes(the_shop: Any) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=LenientRoute, prefix="/api/payments", tags=["payments"])
    is_open = [open_to_all(per_minute=PER_MINUTE)]

    @router.post(
        "/webhook",
        dependencies=[open_to_all(per_minute=WEBHOOKS_PER_MINUTE)],
        responses={
            400: {"description": "Fields are missing, or the amount is another"},
            403: {"description": "The signature is wrong"},
            404: {"description": "No such order"},
        },
    )
    async def take_notification(
        body: Webhook, request: Request, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Take a gateway's notification; the same one again changes nothing."""
        settled = await shop.settle(_notification(body), remote_of(request))
        return {"status": "OK", "message": settled.message}

    @router.post("/verify/{order_id}", dependencies=is_open, responses={502: {}})
    async def verify_payment(
        visitor: Visitor, order_id: OrderId, request: Request, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Ask the gateway how the payment stands, and take what it says."""
        await shop.order(order_id, scope_of(visitor))
        notification = await shop.gateway.look_up(order_id)
        if notification is not None:
            await shop.settle(notification, remote_of(request))
        return await _shown(shop, order_id, visitor)

    @router.patch(
        "/method/{order_id}",
        dependencies=is_open,
        responses={400: {"description": "The order is not open any more"}, 502: {}},
    )
    async def change_method(
        visitor: Visitor, order_id: OrderId, body: MethodChange, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Choose another way to pay an open order."""
        await shop.order(order_id, scope_of(visitor))
        await shop.charge_by(order_id, body.payment_method)
        return await _shown(shop, order_id, visitor)

    @router.post(
        "/cancel/{order_id}",
        dependencies=is_open,
        responses={400: {"description": "The order is paid or over"}},
    )
    async def cancel_payment(
        visitor: Visitor, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Give up an order that is not paid."""
        order = await shop.order(order_id, scope_of(visitor))
        if not await shop.close(order_id, states.CANCELLED, "cancelled by the customer"):
            raise RefusedError(
                "Only an order that is not paid can be cancelled",
                order_id=order_id,
                status=order["status"],
            )
        await shop.cancel_charge(order_id)
        return {"success": True, "order_id": order_id, "status": states.CANCELLED}

    @router.post(
        "/refund/{order_id}",
        responses={400: {"description": "There is nothing to pay back"}, 502: {}},
    )
    async def refund_payment(
        caller: Asks, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Pay back what did not come out."""
        caller.require(OPERATE)
        await shop.refund(caller, order_id)
        return await _shown(shop, order_id, caller)

    @router.get("/sandbox/{order_id}", response_class=HTMLResponse, dependencies=is_open)
    async def show_sandbox(order_id: OrderId, shop: Annotated[Shop, the_shop]) -> HTMLResponse:
        """Show the page of the built-in gateway, where an order is paid or refused."""
        _sandbox_of(shop)
        order, items = await shop.store.read(
            lambda connection: (
                orders.find(connection, order_id),
                orders.items_of(connection, order_id),
            )
        )
        return HTMLResponse(sandbox_page(order, items))

    @router.post("/sandbox/{order_id}", response_class=HTMLResponse, dependencies=is_open)
    async def press_sandbox(
        order_id: OrderId,
        request: Request,
        shop: Annotated[Shop, the_shop],
        action: Annotated[Literal["pay", "refuse"], Query()],
    ) -> HTMLResponse:
        """Pay or refuse on the page of the built-in gateway."""
        gateway = _sandbox_of(shop)
        order = await shop.store.read(lambda connection: orders.find(connection, order_id))
        await shop.settle(gateway.notification(order, action), remote_of(request))
        return await show_sandbox(order_id, shop)

    @router.get("/{order_id}", dependencies=is_open)
    async def read_payment(
        visitor: Visitor, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Return how an order's payment stands."""
        return await _shown(shop, order_id, visitor)

    return router


def _notification(body: Webhook) -> Notification:
    said = body.model_dump()
    missing = [name for name in REQUIRED if not said[name]]
    if missing:
        raise RefusedError("Missing required fields", missing=missing)
    for name in (*REQUIRED, "payment_type", "fraud_status"):
        if said[name] is not None and len(said[name]) > MAX_CHARS:
            raise RefusedError(f"{name} is too long", field=name)
    named = {name: said[name] for name in REQUIRED}
    raw = json.dumps({name: value for name, value in said.items() if value is not None})
    return Notification(
        **named,
        payment_type=said["payment_type"],
        fraud_status=said["fraud_status"],
        raw=raw[:20_000],
    )


async def _shown(shop: Shop, order_id: str, visitor: Caller) -> dict[str, Any]:
    def work(connection: Any) -> dict[str, Any]:
        order = orders.find(connection, order_id, scope_of(visitor))
        return payments.shown(order, payments.of_order(connection, order_id))

    return await shop.store.read(work)


def _sandbox_of(shop: Shop) -> Sandbox:
    if not isinstance(shop.gateway, Sandbox) or not shop.mode.is_development:
        raise NotFoundError("There is no sandbox here")
    return shop.gateway
