"""Store: an app's own rows, and effects beside them in one transaction."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Column, Integer, String, Table, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from fleetwire.errors import StoreUnavailableError
from fleetwire.kit import (
    Alarm,
    Commands,
    ConflictError,
    Device,
    Devices,
    Event,
    Payload,
    Report,
    Result,
    SendCommand,
    Store,
    Transaction,
    new_metadata,
)
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

metadata = new_metadata()
orders = Table(
    "coffee_orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
)


class Order(Payload):
    name: str


def put(tx: Transaction, name: str) -> None:
    tx.execute(insert(orders).values(name=name))


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[TestHub]:
    app = coffee(publishes=["coffee/{device_id}/brewed", "coffee/{device_id}/order"])

    @app.on_start
    async def create(store: Store) -> None:
        await store.write(lambda tx: metadata.create_all(tx.connection))

    @app.subscribe("coffee/{device_id}/order")
    def order(device: Device, body: Order, tx: Transaction) -> Event:
        tx.after_commit(lambda: app.listeners_to.append((body.name, order)))
        put(tx, body.name)
        if body.name == "refused":
            raise ConflictError("We are closed")
        return Event("coffee.ordered", device, {"name": body.name})

    async with TestHub(app) as hub:
        yield hub


@pytest.fixture
def store(hub: TestHub) -> Store:
    return hub.service(Store)


async def names(store: Store) -> list[str]:
    return await store.read(lambda c: list(c.scalars(select(orders.c.name).order_by(orders.c.id))))


async def test_what_was_written_can_be_read(store: Store) -> None:
    await store.write(lambda tx: put(tx, "espresso"))
    assert await names(store) == ["espresso"]


async def test_what_raises_is_not_stored(store: Store) -> None:
    def work(tx: Transaction) -> None:
        put(tx, "espresso")
        raise ConflictError("no milk")

    with pytest.raises(ConflictError, match="no milk"):
        await store.write(work)
    with pytest.raises(ConflictError, match="no milk"):
        await store.apply(work)
    assert await names(store) == []


async def test_effects_are_stored_with_the_rows_and_told_after_the_commit(
    hub: TestHub, store: Store
) -> None:
    machine = await hub.device("m1")

    def work(tx: Transaction) -> Result[str]:
        put(tx, "latte")
        return Result(
            "served",
            [
                Event("coffee.served", machine.device, {"name": "latte"}),
                Report(machine.device, "busy"),
                Alarm(machine.device, "milk", "Milk is low"),
            ],
        )

    assert await store.apply(work) == "served"
    assert await names(store) == ["latte"]
    event = await hub.event("coffee.served")
    assert event.body == {"name": "latte"}
    await hub.event("alarm.raised")
    assert (await hub.service(Devices).get(hub.caller, "coffee", "m1")).status == "busy"


async def test_a_command_is_stored_with_its_rows_or_not_at_all(hub: TestHub, store: Store) -> None:
    machine = await hub.device("m1")
    command = SendCommand(machine.device, "brew", {"cups": 1})

    def fails(tx: Transaction) -> SendCommand:
        put(tx, "twice")
        put(tx, "twice")
        return command

    with pytest.raises(IntegrityError):
        await store.apply(fails)
    assert machine.received == []

    def works(tx: Transaction) -> SendCommand:
        put(tx, "once")
        return command

    await store.apply(works)
    assert (await machine.next_message()).command_id == command.id
    record = await hub.service(Commands).get(hub.caller, command.id)
    assert (record.name, record.parameters) == ("brew", {"cups": 1})


async def test_a_sinks_refusal_rolls_the_rows_back(hub: TestHub, store: Store) -> None:
    machine = await hub.device("m1")
    await store.apply(lambda tx: SendCommand(machine.device, "a", idempotency_key="k"))

    def work(tx: Transaction) -> SendCommand:
        put(tx, "latte")
        return SendCommand(machine.device, "b", idempotency_key="k")

    with pytest.raises(ConflictError, match="another command"):
        await store.apply(work)
    assert await names(store) == []


async def test_of_many_at_once_each_has_its_own_end(hub: TestHub, store: Store) -> None:
    machine = await hub.device("m1")
    await store.apply(lambda tx: SendCommand(machine.device, "a", idempotency_key="k"))
    followed: list[str] = []

    def ordering(name: str) -> Any:
        def work(tx: Transaction) -> Result[str]:
            put(tx, name)
            tx.after_commit(lambda: followed.append(name))
            if name == "closed":
                raise ConflictError("closed")
            effects = [Event("coffee.ordered", machine.device, {"name": name})]
            if name == "refused by the ledger":
                return Result(name, SendCommand(machine.device, "b", idempotency_key="k"))
            return Result(name, effects)

        return work

    asked = ["a", "closed", "b", "refused by the ledger", "c"]
    ends = await asyncio.gather(
        *[store.apply(ordering(name)) for name in asked], return_exceptions=True
    )
    assert [end if isinstance(end, str) else type(end) for end in ends] == [
        "a", ConflictError, "b", ConflictError, "c"
    ]  # fmt: skip
    assert await names(store) == followed == ["a", "b", "c"]
    told = [event.body["name"] for event in hub.events if event.name == "coffee.ordered"]
    assert told == ["a", "b", "c"]


async def test_who_is_cancelled_has_had_his_work_done(hub: TestHub, store: Store) -> None:
    machine = await hub.device("m1")

    def work(tx: Transaction) -> Event:
        put(tx, "latte")
        return Event("coffee.ordered", machine.device, {"name": "latte"})

    asking = asyncio.create_task(store.apply(work))
    await asyncio.sleep(0)
    asking.cancel()
    await hub.event("coffee.ordered")
    assert await names(store) == ["latte"]


async def test_a_database_that_is_away_is_told_to_everyone_who_waits(
    hub: TestHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    with monkeypatch.context() as patch:
        patch.setattr(hub.house.database, "_before_commit", fail)
        ends = await asyncio.gather(
            *[store.apply(lambda tx, n=n: put(tx, f"n{n}")) for n in range(3)],  # type: ignore[misc]  # mypy cannot infer a lambda's default
            return_exceptions=True,
        )
    assert [type(end) for end in ends] == [StoreUnavailableError] * 3
    await store.apply(lambda tx: put(tx, "again"))
    assert await names(store) == ["again"]


async def test_a_handler_with_a_transaction_writes_in_that_of_its_message(
    hub: TestHub, store: Store
) -> None:
    machine = await hub.device("m1")
    assert (await machine.send("coffee/{device_id}/order", {"name": "mocha"})).is_stored
    assert await names(store) == ["mocha"]


async def test_what_a_refused_handler_wanted_after_the_commit_is_forgotten(
    hub: TestHub, store: Store
) -> None:
    machine = await hub.device("m1")
    app = hub.house.apps[0]
    outcome = await machine.send("coffee/{device_id}/order", {"name": "refused"})
    assert (outcome.is_stored, outcome.reason) == (False, "We are closed")
    assert await names(store) == []
    assert "refused" not in [name for name, _ in app.listeners_to]
    await machine.send("coffee/{device_id}/order", {"name": "mocha"})
    assert "mocha" in [name for name, _ in app.listeners_to]


async def test_while_messages_wait_for_the_database_work_is_refused_at_once(
    hub: TestHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    machine = await hub.device("m1")
    with monkeypatch.context() as patch:
        patch.setattr(hub.house.database, "_before_commit", fail)
        sending = asyncio.create_task(machine.send("coffee/{device_id}/brewed", {"cups": 1}))
        async with asyncio.timeout(5):
            while not hub.house.road.is_stalled:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await store.apply(lambda tx: put(tx, "latte"))
        assert time.monotonic() - began < 1
    assert (await sending).is_stored
    await store.apply(lambda tx: put(tx, "latte"))
    assert await names(store) == ["latte"]
