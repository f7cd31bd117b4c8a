"""Coffee machines: they say what they brewed, and are told to brew and to rinse."""

from typing import Annotated

from fastapi import APIRouter

from fleetwire import kit

LOW_BEANS_G = 50

app = kit.App(
    "coffee",
    listener=kit.Listener(3010, "Coffee machines"),
    publishes=["coffee/{device_id}/brewed"],
    subscribes=["coffee/{device_id}/orders"],
    command_topic="coffee/{device_id}/orders",
    response_topic="coffee/{device_id}/answers",
)
router = APIRouter()
app.include(router)


class Brewed(kit.Payload):
    cups: int
    beans_g: float


@app.subscribe("coffee/{device_id}/brewed")
def brewed(device: kit.Device, body: Brewed) -> list[kit.Effect]:
    if body.cups < 1:
        raise kit.NotAcceptedError("cups must be at least 1", field="cups")
    effects: list[kit.Effect] = [
        kit.Reading(device, "cups", body.cups),
        kit.Reading(device, "beans", body.beans_g, "g"),
        kit.Event("coffee.brewed", device, {"machine": device.device_id, "cups": body.cups}),
    ]
    if body.beans_g < LOW_BEANS_G:
        effects.append(kit.Alarm(device, "beans", "The beans are nearly used up"))
    return effects


@router.post("/machines/{machine}/brew", status_code=202)
async def brew(
    machine: str,
    caller: kit.Asks,
    devices: Annotated[kit.Devices, kit.service(kit.Devices)],
    commands: Annotated[kit.Commands, kit.service(kit.Commands)],
) -> dict[str, str]:
    device = await devices.get(caller, "coffee", machine)
    command = await commands.send(caller, device, "brew", {"cups": 1}, expires_in_s=30)
    return {"command": command.id, "state": command.state}


@app.every(3600)
async def rinse(caller: kit.Caller, devices: kit.Devices, commands: kit.Commands) -> None:
    for machine in (await devices.list(caller, "coffee", limit=1000)).items:
        await commands.send(caller, machine, "rinse", {}, expires_in_s=600, lane="water")
