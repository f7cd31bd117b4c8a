"""The tablets app: a fleet of Android tablets, their state, commands, and who has borrowed them.

`tables` is what is kept. Messages: `status`, `location`, `metrics`, `action_log`, with `presence`
for who is there, and `commands` for what tablets are told. People: `device_endpoints`, `checkouts`
and its neighbours, `maintenance`, `people`, `realtime`; `web` is what their routes share.
"""

from collections.abc import Mapping

from fleetwire.apps.tablets import (
    action_log,
    checkout_endpoints,
    commands,
    demo,
    location,
    maintenance,
    metrics,
    people,
    presence,
    realtime,
    status,
)
from fleetwire.apps.tablets.bounds import Bounds, prune
from fleetwire.apps.tablets.device_endpoints import device_routes
from fleetwire.apps.tablets.web import ERRORS, health_routes
from fleetwire.kit import App, Clock, Devices, Listener, Store

COMMAND_TOPIC = "tablet/{device_id}/command"
SILENCE_EVERY_S = 5.0
PRUNE_EVERY_S = 600.0


def configure(settings: Mapping[str, str]) -> App:
    """Return the app within these settings' bounds; see `bounds.Bounds`. Raises SettingsError."""
    bounds = Bounds.of(settings)
    handlers = {
        "tablet/{device_id}/status": status.receive_status,
        "tablet/{device_id}/location": location.location_receiver(bounds),
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
        client_id="ontrak_tablet_{device_id}",
        migrations="fleetwire.apps.tablets:migrations/versions",
        error_form=ERRORS,
    )
    for topic, handler in handlers.items():
        app.subscribe(topic)(handler)
    app.on("device.connected")(presence.session_began)
    app.on("device.disconnected")(presence.session_ended)
    restless = presence.Restless()
    app.on("device.flapping")(restless.began)
    app.on("device.steady")(restless.ended)
    app.on(action_log.ACTION_EVENT)(commands.event_told)
    app.on("command.delivered")(commands.command_delivered)

    @app.on_start
    async def nobody_is_there_yet(store: Store, devices: Devices, clock: Clock) -> None:
        await presence.mark_all_gone(store, devices, clock.now())

    @app.every(SILENCE_EVERY_S)
    async def mark_silent(store: Store, devices: Devices, clock: Clock) -> None:
        await restless.look(store, devices)
        await presence.mark_silent(store, devices, bounds.silent_after_s, clock.now())

    @app.every(PRUNE_EVERY_S)
    async def remove_old(store: Store, clock: Clock) -> None:
        await prune(store, bounds.kept_s, clock.now())

    app.demo(demo.add_demo)
    # Literal paths before those with an id in them.
    app.include(maintenance.router)
    app.include(location.router)
    app.include(device_routes(bounds))
    app.include(checkout_endpoints.router)
    app.include(people.auth_router)
    app.include(people.router)
    app.include(health_routes())
    app.include(realtime.router)
    return app


app = configure({})

__all__ = ["app", "configure"]
