"""HTTP: what helps while developing. These routes exist in development only."""

import json
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.apps.vending import attempts, dispensing, machines, orders, payments
from fleetwire.apps.vending.endpoints.common import LenientRoute, OrderId, TheIntake
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.gateways import Notification, signature_of
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    AsksOrDevelops,
    Commands,
    Health,
    remote_of,
    service,
)

DEFAULT_MACHINE = "VM01"

SAYINGS = {
    "PAID": "settlement",
    "PENDING": "pending",
    "FAILED": "deny",
    "EXPIRED": "expire",
    "CANCELLED": "cancel",
}


class Payment(BaseModel):
    """What the gateway is to have said."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "PAID"}]})

    status: Literal["PAID", "PENDING", "FAILED", "EXPIRED", "CANCELLED"]


class TestCommand(BaseModel):
    """A command to a machine, outside of any order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slot": 1}]})

    machine_id: str | None = Field(None, min_length=1, max_length=128)
    slot: int = Field(1, ge=0, le=10_000)
    timeoutMs: int = Field(2150, ge=1, le=60_000)  # noqa: N815  # the device's name for it


class TestResult(BaseModel):
    """A result, as a machine would send it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"orderId": "test-order-123", "success": True}]}
    )

    machine_id: str | None = Field(None, min_length=1, max_length=128)
    orderId: str = Field(min_length=1, max_length=40)  # noqa: N815
    slot: int | None = Field(None, ge=0, le=10_000)
    success: bool = True
    dropDetected: bool | None = None  # noqa: N815
    dropped: int | None = Field(None, ge=0, le=1000)
    durationMs: int | None = Field(None, ge=0, le=3_600_000)  # noqa: N815
    error: str | None = Field(None, max_length=200)


def routes(terms: Terms, the_shop: Any) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=LenientRoute, prefix="/api/debug", tags=["debug"])

    @router.post("/update-payment/{order_id}", responses={400: {}})
    async def update_payment(
        caller: AsksOrDevelops,
        order_id: OrderId,
        body: Payment,
        request: Request,
        shop: Annotated[Shop, the_shop],
    ) -> dict[str, Any]:
        """Let the gateway say that an order is paid, or not."""
        order = await shop.order(order_id, caller.organization_id)
        amount = f"{order['total_amount']}.00"
        notification = Notification(
            order_id,
            SAYINGS[body.status],
            f"debug-{uuid4()}",
            "200",
            amount,
            signature_of(order_id, "200", amount, terms.server_key),
            payment_type="debug",
        )
        settled = await shop.settle(notification, remote_of(request))
        order = await shop.order(order_id)
        return {"success": True, "message": settled.message, "status": order["status"]}

    @router.get("/order/{order_id}")
    async def read_order(
        caller: AsksOrDevelops, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Return everything that is known of an order."""

        def work(connection: Any) -> dict[str, Any]:
            order = orders.find(connection, order_id, caller.organization_id)
            return {
                "success": True,
                "order": orders.shown(order, orders.items_of(connection, order_id)),
                "payment": payments.shown(order, payments.of_order(connection, order_id)),
                "attempts": [
                    attempts.shown(log) for log in dispensing.attempts_of(connection, order_id)
                ],
            }

        return await shop.store.read(work)

    @router.get("/mqtt/status")
    async def read_mqtt_status(
        caller: AsksOrDevelops, health: Annotated[Health, service(Health)]
    ) -> dict[str, Any]:
        """Say whether the broker takes messages."""
        mqtt = {
            "connected": health.is_connected(),
            "broker": terms.broker_url or "embedded",
            "machineId": terms.machine_id or DEFAULT_MACHINE,
        }
        return {"success": True, "mqtt": mqtt}

    @router.post("/mqtt/test-command", responses={404: {}, 429: {}})
    async def send_test_command(
        caller: AsksOrDevelops,
        body: TestCommand,
        shop: Annotated[Shop, the_shop],
        commands: Annotated[Commands, service(Commands)],
    ) -> dict[str, Any]:
        """Send a command to a machine that belongs to no order."""
        machine_id = body.machine_id or terms.machine_id or DEFAULT_MACHINE
        record = await shop.devices.get(caller, machines.APP, machine_id)
        parameters = {
            "slot": body.slot,
            "orderId": f"TEST-{uuid4().hex[:8]}",
            "timeoutMs": body.timeoutMs,
        }
        sent = await commands.send(
            caller, record, dispensing.COMMAND, parameters, expires_in_s=30.0, retry=False
        )
        command = {"cmd": dispensing.COMMAND, **parameters}
        return {"success": True, "command": command, "command_id": sent.id}

    @router.post("/mqtt/simulate-dispense-result", responses={400: {}, 404: {}})
    async def simulate_result(
        caller: AsksOrDevelops, body: TestResult, shop: Annotated[Shop, the_shop], intake: TheIntake
    ) -> dict[str, Any]:
        """Take a result as if the machine had sent it."""
        order = await shop.order(body.orderId, caller.organization_id)
        said = body.model_dump(exclude={"machine_id"}, exclude_none=True)
        topic = f"vm/{body.machine_id or order['machine_id']}/dispense_result"
        outcome = await intake.receive(caller, topic, json.dumps(said).encode())
        if not outcome.is_stored:
            raise RefusedError(outcome.reason, field=outcome.field)
        order = await shop.order(body.orderId)
        return {"success": True, "order_id": body.orderId, "status": order["status"]}

    return router
