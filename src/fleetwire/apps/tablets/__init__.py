"""The tablets app: a fleet of Android tablets, their state, commands, and who has borrowed them."""

from collections.abc import Mapping

from fleetwire.apps.tablets import (
    action_log,
    checkout_endpoints,
    commands,
    demo,
    maintenance_endpoints,
    metrics,
    place_endpoints,
    presence,
    realtime,
    retention,
    status,
    user_endpoints,
)
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.apps.tablets.device_endpoints import device_routes
from fleetwire.apps.tablets.errors import ERRORS
from fleetwire.apps.tablets.health import health_routes
from fleetwire.apps.tablets.location import location_receiver
from fleetwire.kit import App, Clock, Devices, Listener, Store

COMMAND_TOPIC = "tablet/{device_id}/command"
SILENCE_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0


def configure(settings: Mapping[str, str]) -> App:
    """Return the app within these settings' bounds; see `bounds.Bounds`. Raises SettingsError."""
    bounds = Bounds.of(settings)
    handlers = {
        "tablet/{device_id}/status": status.receive_status,
        "tablet/{device_id}/location": location_receiver(bounds),
        "tablet/{device_id}/metrics": metrics.receive_metrics,
        "tablet/{device_id}/event": action_log.receive_event,
        "tablet/{device_id}/command_result": commands.receive_result,
    }
    app = App(
        "tablets",
        listener=Listener(
            3007,
            "Fleetwire tablets",
            "A fleet of Android tablets: state, places, commands, maintenance, borrowing.",
        ),
        publishes=list(handlers),
        subscribes=[COMMAND_TOPIC],
        command_topic=COMMAND_TOPIC,
        command_payload=commands.command_payload,
        command_id_field="commandId",
        migrations="fleetwire.apps.tablets:migrations/versions",
        error_form=ERRORS,
    )
    for topic, handler in handlers.items():
        app.subscribe(topic)(handler)
    app.on("device.connected")(presence.session_began)
    app.on("device.disconnected")(presence.session_ended)
    app.on(action_log.ACTION_EVENT)(commands.event_told)
    app.on("command.delivered")(commands.command_delivered)

    @app.every(SILENCE_EVERY_S)
    async def mark_silent(store: Store, devices: Devices, clock: Clock) -> None:
        await presence.mark_silent(store, devices, bounds.silent_after_s, clock.now())

    @app.every(PRUNE_EVERY_S)
    async def prune(store: Store, clock: Clock) -> None:
        await retention.prune(store, bounds.kept_s, clock.now())

    app.demo(demo.add_demo)
    # Literal paths before those with an id in them.
    app.include(maintenance_endpoints.router)
    app.include(place_endpoints.router)
    app.include(device_routes(bounds))
    app.include(checkout_endpoints.router)
    app.include(user_endpoints.auth_router)
    app.include(user_endpoints.router)
    app.include(health_routes())
    app.include(realtime.router)
    return app


app = configure({})

__all__ = ["app", "configure"]
