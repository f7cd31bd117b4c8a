"""Life: what the app does by itself, at its start, in time and when it hears of something."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from fleetwire.apps.vending import machines, overdue, telemetry
from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    App,
    Audit,
    Caller,
    Commands,
    Device,
    Devices,
    Health,
    LiveEvent,
    Messages,
    Mode,
    Store,
)
from fleetwire.kit.instants import now

log = structlog.get_logger("fleetwire.apps.vending")

TICK_S: Final = 1.0
LOOK_S: Final = 10.0
PRUNE_S: Final = 600.0


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
        await overdue.tick(Shop(terms, gateway, store, devices, commands, audit, health, mode))

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
        await overdue.catch_up(Shop(terms, gateway, store, devices, commands, audit, health, mode))
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

    async def prune(store: Store) -> None:
        before_at = terms.now() - round(terms.keep_days * 86_400e6)
        while await store.write(lambda tx: telemetry.prune(tx, before_at)):
            continue

    app.every(TICK_S)(tick)
    app.every(LOOK_S)(look_who_is_there)
    app.every(PRUNE_S)(prune)
    app.on_start(begin)
    app.on("command.sent")(note_sent)
    app.on("device.connected")(_presence(connected=True))
    app.on("device.disconnected")(_presence(connected=False))


async def look_who_is_there(store: Store, devices: Devices) -> None:
    """Compare each machine with the registry.

    Of a machine that comes and goes all the time the house stops telling, and what is told while
    this process ends is not told again.
    """
    for machine_id, organization_id, connected in await store.read(machines.connections):
        device = devices.find(machines.APP, machine_id)
        if device is None:
            continue  # deleted meanwhile
        record = await devices.get(Caller.system(organization_id), machines.APP, machine_id)
        if record.connected != connected:
            await _set_connected(store, device, record.connected, record.connected_reason or "")


async def _set_connected(store: Store, device: Device, connected: bool, reason: str) -> None:
    await store.apply(lambda tx: machines.set_connected(tx, device, connected, reason[:200], now()))


def _presence(*, connected: bool) -> Callable[..., Awaitable[None]]:
    async def note(event: LiveEvent, store: Store) -> None:
        reason = str(event.body.get("reason") or "")
        await _set_connected(store, event.device, connected, reason)

    return note
