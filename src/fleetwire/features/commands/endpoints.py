"""HTTP: commands to devices, and what became of them."""

from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from fastapi import APIRouter, Header, Query, status

from fleetwire.errors import InvalidValueError
from fleetwire.features.commands.batches import BatchService
from fleetwire.features.commands.schemas import (
    BatchRequest,
    BatchView,
    CommandPage,
    CommandRequest,
    CommandView,
)
from fleetwire.features.commands.service import CommandService
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.http import Asks, service
from fleetwire.kit.services import Devices

router = APIRouter(prefix="/api/v1", tags=["commands"])

TheCommands = Annotated[CommandService, service(CommandService)]
TheBatches = Annotated[BatchService, service(BatchService)]
TheDevices = Annotated[Devices, service(Devices)]

MAX_WAIT_S = 60.0  # longer than proxies let a request hang

Wait = Annotated[str | None, Query(description="wait for the outcome, such as 10s; at most 60s")]
Key = Annotated[
    str | None,
    Header(min_length=1, max_length=128, description="sent once, however often this is repeated"),
]
States = Annotated[Sequence[str], Query(description="only in these states; may be repeated")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class _How(TypedDict):
    expires_in_s: float
    idempotency_key: str | None
    lane: str | None
    supersede: bool
    retry: bool | None


_NOT_SENT: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such device"},
    409: {"description": "The Idempotency-Key was used for another, or the app takes no commands"},
    429: {"description": "Too many commands are open, or too many requests wait for one"},
}
_TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"description": "Too many requests wait for commands"}
}


@router.post(
    "/devices/{app}/{device_id}/commands",
    status_code=status.HTTP_202_ACCEPTED,
    responses=_NOT_SENT,
)
async def send_command(
    app: str,
    device_id: str,
    body: CommandRequest,
    caller: Asks,
    devices: TheDevices,
    commands: TheCommands,
    wait: Wait = None,
    idempotency_key: Key = None,
) -> CommandView:
    """Send a command; it is stored, and delivered when the device is there.

    With `wait` the answer comes with the outcome, or when the time is up.
    """
    expires_in_s = parse_duration(body.expires_in, "expires_in")
    wait_s = _wait_s(wait)
    device = await devices.get(caller, app, device_id)
    command = await commands.send(
        caller,
        device,
        body.name,
        body.parameters,
        expires_in_s=expires_in_s,
        idempotency_key=idempotency_key,
        lane=body.lane,
        supersede=body.supersede,
        retry=body.retry,
    )
    if wait_s:
        command = await commands.wait(command.id, wait_s)
    return CommandView.of(command)


@router.get("/devices/{app}/{device_id}/commands")
async def list_commands(
    app: str,
    device_id: str,
    caller: Asks,
    devices: TheDevices,
    commands: TheCommands,
    state: States = (),
    limit: Limit = 50,
    cursor: str | None = None,
) -> CommandPage:
    """List a device's commands, newest first."""
    device = await devices.get(caller, app, device_id)
    page = await commands.list(caller, device, states=state, limit=limit, cursor=cursor)
    return CommandPage(
        items=[CommandView.of(command) for command in page.items], next_cursor=page.next_cursor
    )


@router.get("/commands/{command_id}", responses=_TOO_MANY)
async def read_command(
    command_id: str, caller: Asks, commands: TheCommands, wait: Wait = None
) -> CommandView:
    """Return a command and its timeline; with `wait`, once there is an outcome."""
    wait_s = _wait_s(wait)
    command = await commands.get(caller, command_id)
    if wait_s:
        command = await commands.wait(command_id, wait_s)
    return CommandView.of(command)


@router.post(
    "/commands/{command_id}/cancel",
    responses={409: {"description": "It was delivered, or is closed"}},
)
async def cancel_command(command_id: str, caller: Asks, commands: TheCommands) -> CommandView:
    """Give up a command that was not delivered yet; 409 once it was."""
    return CommandView.of(await commands.cancel(caller, command_id))


@router.post("/command-batches", status_code=status.HTTP_202_ACCEPTED, responses=_NOT_SENT)
async def send_batch(
    body: BatchRequest, caller: Asks, batches: TheBatches, idempotency_key: Key = None
) -> BatchView:
    """Send a command to many devices; each gets one of its own within moments.

    Exactly one of `devices`, `group` and `query` says which.
    """
    named = {"devices": body.devices, "group": body.group, "query": body.query}
    given = [field for field, value in named.items() if value is not None]
    if len(given) != 1:
        raise InvalidValueError(
            "Exactly one of devices, group and query says to whom", field=(given or ["devices"])[-1]
        )
    how: _How = {
        "expires_in_s": parse_duration(body.expires_in, "expires_in"),
        "idempotency_key": idempotency_key,
        "lane": body.lane,
        "supersede": body.supersede,
        "retry": body.retry,
    }
    if body.devices is None:
        batch = await batches.send_to(
            caller,
            body.name,
            body.parameters,
            group=body.group,
            query=body.query,
            app=body.app,
            **how,
        )
    elif body.app is None:
        raise InvalidValueError("Say whose devices these are", field="app")
    else:
        batch = await batches.send(
            caller, body.app, body.devices, body.name, body.parameters, **how
        )
    return BatchView.of(batch)


@router.get("/command-batches/{batch_id}")
async def read_batch(batch_id: str, caller: Asks, batches: TheBatches) -> BatchView:
    """Return how far a batch has come."""
    return BatchView.of(await batches.get(caller, batch_id))


@router.get("/command-batches/{batch_id}/commands")
async def list_batch_commands(
    batch_id: str,
    caller: Asks,
    batches: TheBatches,
    state: States = (),
    limit: Limit = 50,
    cursor: str | None = None,
) -> CommandPage:
    """List a batch's commands, oldest first."""
    page = await batches.commands(caller, batch_id, states=state, limit=limit, cursor=cursor)
    return CommandPage(
        items=[CommandView.of(command) for command in page.items], next_cursor=page.next_cursor
    )


def _wait_s(wait: str | None) -> float:
    return 0.0 if wait is None else min(parse_duration(wait, "wait"), MAX_WAIT_S)
