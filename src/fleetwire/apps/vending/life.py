"""Life: what the app does by itself: at its start, in time, and when it hears of something."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from sqlalchemy import Row

from fleetwire.apps.vending import dispensing, machines, orders, states, telemetry
from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.machines import APP
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    App,
    Audit,
    Caller,
    Clock,
    Commands,
    Device,
    Devices,
    Effect,
    LiveEvent,
    Messages,
    Mode,
    NotFoundError,
    Store,
    Transaction,
)

log = structlog.get_logger("fleetwire.apps.vending")

TICK_S: Final = 1.0
LOOK_S: Final = 10.0
PRUNE_S: Final = 600.0
PORTION: Final = 200  # taken up at a time


def add_to(app: App, terms: Terms, gateway: Gateway) -> None:
    """Let the app live."""

    async def tick(
        store: Store,
        devices: Devices,
        commands: Commands,
        audit: Audit,
        mode: Mode,
        clock: Clock,
    ) -> None:
        shop = Shop(terms, gateway, store, devices, audit, mode, clock)
        await do_what_is_due(shop, commands)

    async def begin(store: Store, devices: Devices, commands: Commands, messages: Messages) -> None:
        for subscription in app.subscriptions:
            log.info(f"Subscribed to {subscription.template.replace('{device_id}', '+')}")
        # What was sent shortly before the process before this one ended.
        for attempt in await store.read(dispensing.unsent):
            await _look_up(store, devices, commands, terms, attempt)
        # Cut off between storing and publishing, a machine would wait for its configuration.
        for machine_id, organization_id, desired in await store.read(machines.unmet):
            caller = Caller.system(organization_id)
            await messages.retain(
                caller, machines.config_topic(machine_id), machines.encoded(desired)
            )

    async def note_sent(event: LiveEvent, store: Store) -> None:
        await _note_sent(store, event.device, event.body["command_id"], event.received_at, terms)

    async def prune(store: Store, clock: Clock) -> None:
        before_at = clock.now() - round(terms.keep_days * 86_400e6)
        while await store.write(lambda tx: telemetry.prune(tx, before_at)):
            continue

    app.every(TICK_S)(tick)
    app.every(LOOK_S)(look_who_is_there)
    app.every(PRUNE_S)(prune)
    app.on_start(begin)
    app.on("command.sent")(note_sent)
    app.on("device.connected")(_presence(connected=True))
    app.on("device.disconnected")(_presence(connected=False))


async def look_who_is_there(store: Store, devices: Devices, clock: Clock) -> None:
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
            reason = record.connected_reason or ""
            await _set_connected(store, device, record.connected, reason, clock.now())


async def _set_connected(
    store: Store, device: Device, connected: bool, reason: str, now: int
) -> None:
    await store.apply(lambda tx: machines.set_connected(tx, device, connected, reason[:200], now))


def _presence(*, connected: bool) -> Callable[..., Awaitable[None]]:
    async def note(event: LiveEvent, store: Store, clock: Clock) -> None:
        reason = str(event.body.get("reason") or "")
        await _set_connected(store, event.device, connected, reason, clock.now())

    return note


async def do_what_is_due(shop: Shop, commands: Commands) -> None:
    """Do what the time has come for."""
    at = shop.clock.now()
    for order_id in await shop.store.read(
        lambda connection: orders.overdue(connection, at, PORTION)
    ):
        await shop.close(order_id, states.EXPIRED, "not paid in time")
    await _trigger_due(shop, at)
    for attempt in await shop.store.read(
        lambda connection: dispensing.due(connection, at, PORTION)
    ):
        if attempt.command_sent_at is None:
            await _look_up(shop.store, shop.devices, commands, shop.terms, attempt)
        await _expire(shop, attempt)


async def _trigger_due(shop: Shop, at: int) -> None:
    for order_id, paid_at in await shop.store.read(
        lambda connection: orders.undispensed(connection, at, PORTION)
    ):
        if paid_at + round(shop.terms.dispense_wait_s * 1e6) <= at:
            await _give_up(shop, order_id)
        else:
            await shop.trigger_paid(order_id, "timer")


async def _give_up(shop: Shop, order_id: str) -> None:
    """A paid order whose command could not even be stored in time has failed."""

    def work(tx: Transaction) -> list[Effect]:
        order = orders.find(tx.connection, order_id)
        device = shop.devices.find(APP, order.machine_id)
        return dispensing.give_up(tx, device, order, shop.clock.now())

    await shop.store.apply(work)


async def _expire(shop: Shop, attempt: Row[Any]) -> None:
    device = shop.devices.find(APP, attempt.machine_id)
    await shop.store.apply(lambda tx: dispensing.expire(tx, device, attempt.id, shop.clock.now()))


async def _look_up(
    store: Store, devices: Devices, commands: Commands, terms: Terms, attempt: Row[Any]
) -> None:
    """Ask the ledger whether a command was sent that nobody told us of."""
    device = devices.find(APP, attempt.machine_id)
    if device is None:
        return
    try:
        record = await commands.get(Caller.system(device.organization_id), attempt.command_id)
    except NotFoundError:
        return
    if record.attempts:
        sent_at = next(
            (event.at for event in record.timeline if event.state == "sent"), record.created_at
        )
        await _note_sent(store, device, attempt.command_id, sent_at, terms)


async def _note_sent(store: Store, device: Device, command_id: str, at: int, terms: Terms) -> None:
    await store.apply(lambda tx: dispensing.sent(tx, device, command_id, at, terms))
