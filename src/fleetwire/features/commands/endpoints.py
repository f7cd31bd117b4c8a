"""HTTP: commands to devices, and what became of them."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, status

from fleetwire.features.commands.schemas import CommandPage, CommandRequest, CommandView
from fleetwire.features.commands.service import CommandService
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.http import Asks, service
from fleetwire.kit.services import Devices

router = APIRouter(prefix="/api/v1", tags=["commands"])

TheCommands = Annotated[CommandService, service(CommandService)]
TheDevices = Annotated[Devices, service(Devices)]

MAX_WAIT_S = 60.0  # longer than proxies let a request hang


@router.post("/devices/{app}/{device_id}/commands", status_code=status.HTTP_202_ACCEPTED)
async def send_command(
    app: str,
    device_id: str,
    body: CommandRequest,
    caller: Asks,
    devices: TheDevices,
    commands: TheCommands,
    wait: Annotated[
        str | None, Query(description="wait for the outcome, such as 10s; at most 60s")
    ] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=128, description="sent once, however often this is repeated")
    ] = None,
) -> CommandView:
    """Send a command; it is stored, and delivered when the device is there.

    With `wait` the answer comes with the outcome, or when the time is up.
    """
    expires_in_s = parse_duration(body.expires_in, "expires_in")
    wait_s = 0.0 if wait is None else min(parse_duration(wait, "wait"), MAX_WAIT_S)
    device = await devices.get(caller, app, device_id)
    command = await commands.send(
        caller,
        device,
        body.name,
        body.parameters,
        expires_in_s=expires_in_s,
        idempotency_key=idempotency_key,
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
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> CommandPage:
    """List a device's commands, newest first."""
    device = await devices.get(caller, app, device_id)
    page = await commands.list(caller, device, limit=limit, cursor=cursor)
    return CommandPage(
        items=[CommandView.of(command) for command in page.items], next_cursor=page.next_cursor
    )


@router.get("/commands/{command_id}")
async def read_command(command_id: str, caller: Asks, commands: TheCommands) -> CommandView:
    """Return a command and its timeline."""
    return CommandView.of(await commands.get(caller, command_id))


@router.post("/commands/{command_id}/cancel")
async def cancel_command(command_id: str, caller: Asks, commands: TheCommands) -> CommandView:
    """Give up a command that was not delivered yet; 409 once it was."""
    return CommandView.of(await commands.cancel(caller, command_id))
