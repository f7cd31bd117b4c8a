"""HTTP: `/api/device`, the tablets themselves."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from fleetwire.apps.tablets import action_log, audit_log, checkout_book, commands, fleet, metrics
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.apps.tablets.fleet import Tablet
from fleetwire.apps.tablets.maintenance import IN_USE
from fleetwire.apps.tablets.presence import APP
from fleetwire.apps.tablets.rows import TYPE, row_of
from fleetwire.apps.tablets.schemas import CommandBody, DeviceBody, DeviceChange
from fleetwire.apps.tablets.web import (
    WRONG_REQUEST,
    Answer,
    BadRequestError,
    BrokerUnavailableError,
    TheAudit,
    TheClock,
    TheCommands,
    TheDevices,
    TheHealth,
    TheStore,
)
from fleetwire.kit import (
    CREATES,
    Asks,
    CommandRecord,
    DeviceRecord,
    ForbiddenError,
    Result,
    Transaction,
)
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.instants import iso

METRICS_SHOWN = 10
ACTIONS_SHOWN = 20


def device_routes(bounds: Bounds) -> APIRouter:
    """Return the routes; commands expire as the bounds say."""
    router = APIRouter(prefix="/api/device", tags=["devices"], responses=WRONG_REQUEST)

    @router.post("/", include_in_schema=False)
    @router.post(
        "", responses={409: {"description": "The deviceCode is taken"}}, openapi_extra=CREATES
    )
    async def register(
        body: DeviceBody, caller: Asks, devices: TheDevices, store: TheStore, clock: TheClock
    ) -> Answer:
        """Register a tablet. Its MQTT credentials are in this answer only."""
        given = {
            "serialNumber": body.serial_number,
            "model": body.model,
            "osVersion": body.os_version,
        }
        attributes = {name: value for name, value in given.items() if value is not None}
        record, credential = await devices.register(
            caller, APP, body.device_code, TYPE, name=body.name, attributes=attributes
        )
        device = devices.find(APP, record.device_id)
        at = clock.now()

        def work(tx: Transaction) -> None:
            if device is not None:
                row_of(tx, device, at)
            audit_log.add(tx, caller, "device.create", record.device_id, at)

        await store.write(work)
        tablet = await fleet.one_of(caller, str(record.id), devices, store)
        mqtt = {"username": credential.username, "password": credential.password}
        return {"success": True, "data": tablet.view() | {"mqtt": mqtt}}

    @router.get("/", include_in_schema=False)
    @router.get("")
    async def list_devices(caller: Asks, devices: TheDevices, store: TheStore) -> Answer:
        """List the organisation's tablets."""
        found = await fleet.all_of(caller, devices, store)
        return {"success": True, "data": [each.view() for each in found], "count": len(found)}

    @router.get("/{id}")
    async def read_device(
        id: str,
        caller: Asks,
        devices: TheDevices,
        store: TheStore,
        ledger: TheCommands,
        response: Response,
    ) -> Answer:
        """Return a tablet with its last 10 metrics and 20 lines of its log.

        Its ETag stands for what people set of it; a change may name it as If-Match.
        """
        tablet = await fleet.one_of(caller, id, devices, store)
        response.headers["ETag"] = _tag_of(tablet.record)
        key = tablet.row.id
        measured, lines = await store.read(
            lambda connection: (
                metrics.latest(connection, key, METRICS_SHOWN),
                action_log.latest(connection, key, ACTIONS_SHOWN),
            )
        )
        lines = await commands.with_states(lines, caller, ledger)
        return {"success": True, "data": tablet.view() | {"metrics": measured, "actionLogs": lines}}

    @router.get("/{id}/history")
    async def read_history(
        id: str,
        caller: Asks,
        devices: TheDevices,
        store: TheStore,
        ledger: TheCommands,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Answer:
        """Return what was done with a tablet, newest first: its log, and who had it."""
        tablet = await fleet.one_of(caller, id, devices, store)
        key = tablet.row.id
        lines, lent = await store.read(
            lambda connection: (
                action_log.latest(connection, key, limit, offset),
                checkout_book.of_tablet(connection, key, limit, offset),
            )
        )
        lines = await commands.with_states(lines, caller, ledger)
        return {"success": True, "data": {"logs": lines, "checkouts": lent}}

    @router.post(
        "/{id}/command",
        responses={
            400: {"description": "Unknown action, or a parameter is missing"},
            503: {"description": "MQTT broker not available"},
        },
        openapi_extra=CREATES,
    )
    async def send_command(
        id: str,
        body: CommandBody,
        caller: Asks,
        devices: TheDevices,
        store: TheStore,
        ledger: TheCommands,
        audit: TheAudit,
        health: TheHealth,
        clock: TheClock,
    ) -> Answer:
        """Send a command; it waits for a tablet that sleeps."""
        tablet = await fleet.one_of(caller, id, devices, store)
        subject = f"device:{APP}/{tablet.row.code}"
        try:
            caller.require("command.send")
        except ForbiddenError:
            await audit.record(caller, "tablet.command", subject, outcome="refused")
            raise
        action, params = commands.checked(body.action, body.params)
        if not health.is_connected():
            raise BrokerUnavailableError("MQTT broker not available")
        device = fleet.device_of(tablet, devices)
        command = commands.command_for(
            device, action, params, bounds.command_expires_in_s, caller.actor
        )
        at = clock.now()

        def work(tx: Transaction) -> Result[None]:
            action_log.add(
                tx,
                device.id,
                action_log.COMMAND,
                action,
                params=params,
                command_id=command.id,
                actor=caller.actor,
                received_at=at,
            )
            audit_log.add(tx, caller, "device.command", device.device_id, at, {"action": action})
            return Result(None, command)

        await store.apply(work)
        detail = {"action": action, "command_id": command.id}
        await audit.record(caller, "tablet.command", subject, detail=detail)
        sent = await ledger.get(caller, command.id)
        return {
            "success": True,
            "message": f"Command {action} {_said(sent)}",
            "command": _view(sent),
        }

    @router.put("/{id}", responses=PRECONDITIONS)
    async def change_device(
        id: str,
        body: DeviceChange,
        if_match: IfMatch,
        response: Response,
        caller: Asks,
        devices: TheDevices,
        store: TheStore,
        clock: TheClock,
    ) -> Answer:
        """Change what is sent; null removes the serial number, the model or the version."""
        tablet = await fleet.one_of(caller, id, devices, store)
        given = {
            "serialNumber": body.serial_number,
            "model": body.model,
            "osVersion": body.os_version,
        }
        said = {
            name: value
            for name, value in given.items()
            if name in body.model_dump(exclude_unset=True, by_alias=True)
        }
        record = await devices.update(
            caller,
            APP,
            tablet.row.code,
            name=body.name,
            attributes=said,
            expects=lambda found: if_match.check(_tag_of(found)),
        )
        response.headers["ETag"] = _tag_of(record)
        at = clock.now()
        await store.write(
            lambda tx: audit_log.add(tx, caller, "device.update", tablet.row.code, at)
        )
        changed = await fleet.one_of(caller, str(tablet.row.id), devices, store)
        return {"success": True, "data": changed.view()}

    @router.delete("/{id}", responses={400: {"description": "It is checked out"}})
    async def delete_device(
        id: str, caller: Asks, devices: TheDevices, store: TheStore, clock: TheClock
    ) -> Answer:
        """Remove a tablet: its credentials are revoked and its connections closed."""
        tablet = await fleet.one_of(caller, id, devices, store)
        caller.require("device.write")
        _check_at_home(tablet)
        at = clock.now()
        await devices.delete(caller, APP, tablet.row.code)
        await store.write(
            lambda tx: audit_log.add(tx, caller, "device.delete", tablet.row.code, at)
        )
        return {"success": True, "data": {"id": tablet.row.id, "deviceCode": tablet.row.code}}

    return router


def _tag_of(record: DeviceRecord) -> str:
    return etag(record.id, record.name, record.attributes)


def _check_at_home(tablet: Tablet) -> None:
    if tablet.row.borrow_status == IN_USE:
        raise BadRequestError(
            "The device is checked out: return it first, or cancel the checkout", field="id"
        )


def _said(command: CommandRecord) -> str:
    return "waits for the device" if command.state == "queued" else "sent"


def _view(command: CommandRecord) -> Answer:
    return {
        "id": command.id,
        "commandId": command.id,
        "action": command.name,
        "params": command.parameters,
        "state": command.state,
        "createdAt": iso(command.created_at),
        "expiresAt": iso(command.expires_at),
    }
