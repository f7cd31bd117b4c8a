"""A small app for the tests of the kit: machines that brew, and count what they brewed."""

from typing import Any

from fastapi import APIRouter

from fleetwire.kit import App, Device, Event, Listener, NotAcceptedError, Payload, Reading, Report


class Brewed(Payload):
    cups: int
    temperature: float = 0.0


def brewed(device: Device, body: Brewed) -> list[Any]:
    if body.cups < 0:
        raise NotAcceptedError("cups must not be negative", field="cups")
    return [
        Reading(device, "cups", body.cups),
        Report(device, "ready", {"cups": body.cups}),
        Event("coffee.brewed", device, {"device_id": device.device_id, "cups": body.cups}),
    ]


def coffee(**more: Any) -> App:
    """Return the app; `more` are further fields of App."""
    fields: dict[str, Any] = {
        "listener": Listener(0, "Coffee"),
        "publishes": ["coffee/{device_id}/brewed"],
        "subscribes": ["coffee/{device_id}/orders", "coffee/{device_id}/old-orders"],
        "command_topics": ["coffee/{device_id}/orders", "coffee/{device_id}/old-orders"],
        "response_topic": "coffee/{device_id}/answers",
        "command_id_field": "command_id",
    }
    app = App("coffee", **(fields | more))
    app.subscribe("coffee/{device_id}/brewed")(brewed)
    router = APIRouter()

    @router.get("/hello")
    async def hello() -> dict[str, str]:
        return {"hello": "coffee"}

    app.include(router)
    return app
