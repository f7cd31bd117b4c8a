"""Life: what the app does by itself, at its start, in time and when it hears of something."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from fleetwire.apps.vending import machines
from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    App,
    Audit,
    Caller,
    Commands,
    Devices,
    Event,
    Health,
    LiveEvent,
    Messages,
    Mode,
    Store,
    Transaction,
)

log = structlog.get_logger("fleetwire.apps.vending")

TICK_S: Final = 1.0


def add_to(app: App, terms: Terms, gateway: Gateway) -> None:
    """Let the app live."""

    async def tick(
        store: Store,
        devices: Devices,
        commands: Commands,
        audit: Audit,
        health: Health,
        mode: Mode,
    ) -> None:
        await Shop(terms, gateway, store, devices, commands, audit, health, mode).tick()

    async def begin(
        store: Store,
        devices: Devices,
        commands: Commands,
        audit: Audit,
        health: Health,
        mode: Mode,
        messages: Messages,
    ) -> None:
        for subscription in app.subscriptions:
            log.info(f"Subscribed to {subscription.template.replace('{device_id}', '+')}")
        await Shop(terms, gateway, store, devices, commands, audit, health, mode).catch_up()
        # Cut off between storing and publishing, a machine would wait for its configuration.
        for machine_id, organization_id, desired in await store.read(machines.unmet):
            caller = Caller.system(organization_id)
            await messages.retain(
                caller, machines.config_topic(machine_id), machines.encoded(desired)
            )

    async def note_sent(
        event: LiveEvent,
        store: Store,
        devices: Devices,
        commands: Commands,
        audit: Audit,
        health: Health,
        mode: Mode,
    ) -> None:
        shop = Shop(terms, gateway, store, devices, commands, audit, health, mode)
        await shop.note_sent(event.device, event.body["command_id"], event.received_at)

    app.every(TICK_S)(tick)
    app.on_start(begin)
    app.on("command.sent")(note_sent)
    app.on("device.connected")(_presence(connected=True))
    app.on("device.disconnected")(_presence(connected=False))


def _presence(*, connected: bool) -> Callable[..., Awaitable[None]]:
    async def note(event: LiveEvent, store: Store) -> None:
        def work(tx: Transaction) -> list[Event]:
            reason = str(event.body.get("reason") or "")[:200]
            return machines.set_connected(tx, event.device, connected, reason, event.received_at)

        await store.apply(work)

    return note
