"""HTTP: `/device-states`, what devices can be set to, and `/device-state-instances`, setting it."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field
from sqlalchemy import Connection, Row, select

from fleetwire.apps.farm import rows, states
from fleetwire.apps.farm.endpoints.common import (
    COMMAND,
    TAKEN,
    VIEW,
    WRITE,
    WRONG,
    Answer,
    Body,
    Cursor,
    Key,
    KeyInBody,
    Limit,
    TheDevices,
    TheStore,
    device_of,
    listed,
    success,
    tagged,
)
from fleetwire.apps.farm.tables import device_states, devices, state_instances
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import Asks, Transaction
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.instants import now

DataType = Literal["string", "number", "integer", "boolean", "percentage"]
StateValue = str | float | bool
StateName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]+$")]
Allowed = Annotated[
    list[Annotated[StateValue, Field(union_mode="left_to_right")]], Field(max_length=100)
]


class StateBody(Body):
    """A state of a device; without `allowedValues` any value of its type will do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "deviceId": 1,
                    "stateName": "power",
                    "dataType": "string",
                    "defaultValue": "off",
                    "allowedValues": ["on", "off"],
                }
            ]
        }
    )

    device_id: KeyInBody
    state_name: StateName
    data_type: DataType = "string"
    default_value: StateValue | None = None
    allowed_values: Allowed | None = None


class StateChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"allowedValues": ["on", "off"]}]})

    state_name: StateName = ""
    data_type: DataType = "string"
    default_value: StateValue | None = None
    allowed_values: Allowed | None = None


class InstanceBody(Body):
    """A value that a device shall have."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"deviceUuid": "pump-1", "stateName": "power", "value": "on", "initiatedBy": "user"}
            ]
        }
    )

    device_uuid: Annotated[str, Field(min_length=1, max_length=64)]
    state_name: Annotated[str, Field(min_length=1, max_length=64)]
    value: StateValue
    initiated_by: states.Initiator = "user"
    urgent: bool = False


def state_routes(terms: Terms) -> list[APIRouter]:
    """Return the routes; a value that the device does not take by `terms` in time expires."""
    return [_kinds(), _instances(terms)]


def _kinds() -> APIRouter:
    router = APIRouter(prefix="/device-states", tags=["device states"], responses=WRONG)

    @router.get("")
    async def list_states(
        caller: Asks, store: TheStore, limit: Limit = 100, cursor: Cursor = None
    ) -> Answer:
        """List the states of all devices."""
        caller.require(VIEW)
        found = await store.read(
            lambda c: rows.page(c, caller.organization_id, device_states, limit, cursor)
        )
        return listed("deviceStates", *found)

    @router.get("/device/{id}")
    async def list_states_of(id: Key, caller: Asks, store: TheStore) -> Answer:
        """List the states of a device; `allowedValues` is a list written as JSON."""
        caller.require(VIEW)

        def work(connection: Connection) -> tuple[list[Row[Any]], str | None]:
            tenant_id = caller.organization_id
            rows.find(connection, tenant_id, devices, id)
            return rows.page(
                connection, tenant_id, device_states, 1000, None, device_states.c.device_id == id
            )

        return listed("deviceStates", *await store.read(work))

    @router.post("", status_code=201, responses=TAKEN)
    async def create_state(caller: Asks, body: StateBody, store: TheStore) -> Answer:
        """Add a state to a device."""
        caller.require(WRITE)
        at = now()

        def work(tx: Transaction) -> Row[Any]:
            tenant_id = caller.organization_id
            rows.find(tx.connection, tenant_id, devices, body.device_id, "deviceId")
            times = {"created_at": at, "updated_at": at}
            values = _values(body.model_dump())
            row = rows.add(tx, device_states, tenant_id=tenant_id, **times, **values)
            if row.default_value is not None:
                states.check_value(row, row.default_value, "defaultValue")
            return row

        return success(deviceState=rows.shown(await store.write(work)))

    @router.get("/{id}")
    async def read_state(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
        """Return a state."""
        caller.require(VIEW)
        row = await store.read(lambda c: rows.find(c, caller.organization_id, device_states, id))
        return success(deviceState=tagged(response, row))

    @router.put("/{id}", include_in_schema=False)
    @router.patch("/{id}", responses=PRECONDITIONS | TAKEN)
    async def change_state(
        id: Key,
        caller: Asks,
        body: StateChange,
        store: TheStore,
        if_match: IfMatch,
        response: Response,
    ) -> Answer:
        """Change what is sent."""
        caller.require(WRITE)

        def work(tx: Transaction) -> Row[Any]:
            row = rows.find(tx.connection, caller.organization_id, device_states, id)
            if_match.check(rows.tag_of(row))
            row = rows.change(tx, device_states, id, updated_at=now(), **_values(body.given()))
            if row.default_value is not None:
                states.check_value(row, row.default_value, "defaultValue")
            return row

        return success(deviceState=tagged(response, await store.write(work)))

    @router.delete("/{id}", status_code=204)
    async def delete_state(id: Key, caller: Asks, store: TheStore) -> None:
        """Remove a state with its history."""
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            rows.find(tx.connection, caller.organization_id, device_states, id)
            rows.remove(tx, device_states, id)

        await store.write(work)

    return router


def _instances(terms: Terms) -> APIRouter:
    router = APIRouter(prefix="/device-state-instances", tags=["device states"], responses=WRONG)

    @router.post("", status_code=201)
    async def create_instance(
        caller: Asks, body: InstanceBody, store: TheStore, registry: TheDevices
    ) -> Answer:
        """Set a device: the value is stored and sent, now or when the device is there."""
        caller.require(COMMAND)
        device = device_of(registry, caller, body.device_uuid)
        value = states.text_of(body.value)
        assert value is not None, "a value is given"
        shown = await store.apply(
            lambda tx: states.set_state(
                tx,
                device,
                body.state_name,
                value,
                initiated_by=body.initiated_by,
                initiator=caller.actor,
                now=now(),
                expires_in_s=terms.command_expires_s,
                urgent=body.urgent,
            )
        )
        return success(deviceStateInstance=shown)

    @router.get("/current/{stateId}")
    async def read_current(stateId: Key, caller: Asks, store: TheStore) -> Answer:  # noqa: N803 the contract's name
        """Return the value that a state has, null if it never had one."""
        caller.require(VIEW)

        def work(connection: Connection) -> Row[Any] | None:
            rows.find(connection, caller.organization_id, device_states, stateId, "stateId")
            return states.current(connection, stateId)

        row = await store.read(work)
        return success(deviceStateInstance=None if row is None else rows.shown(row))

    @router.get("/history/{stateId}")
    async def read_history(
        stateId: Key,  # noqa: N803 the contract's name
        caller: Asks,
        store: TheStore,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Answer:
        """Return the values that a state has had, newest first."""
        caller.require(VIEW)

        def work(connection: Connection) -> tuple[list[Row[Any]], str | None]:
            rows.find(connection, caller.organization_id, device_states, stateId, "stateId")
            asked = select(state_instances).where(state_instances.c.device_state_id == stateId)
            if cursor is not None:
                asked = asked.where(state_instances.c.id < rows.number_of(cursor))
            asked = asked.order_by(state_instances.c.id.desc()).limit(limit + 1)
            found = list(connection.execute(asked).all())
            following = str(found[limit - 1].id) if len(found) > limit else None
            return found[:limit], following

        return listed("deviceStateInstances", *await store.read(work))

    return router


def _values(said: dict[str, Any]) -> dict[str, Any]:
    """Return columns of what was said: values as text, the allowed ones as a JSON list."""
    if "default_value" in said:
        said["default_value"] = states.text_of(said["default_value"])
    if said.get("allowed_values") is not None:
        said["allowed_values"] = json.dumps(said["allowed_values"])
    return said
