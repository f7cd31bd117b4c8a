"""One command to many devices: each gets one, and how far it has come can be seen."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.commands import service as service_module
from fleetwire.features.commands.batches import BatchService
from fleetwire.features.devices.groups import Groups
from fleetwire.kit import CommandBatch
from tests.fakes import caller
from tests.features.commands.conftest import Ledger

DEVICES = ["d", "e", "f"]


@pytest.fixture
async def batches(ledger: Ledger) -> BatchService:
    await ledger.rooms.register("e")
    await ledger.rooms.register("f")
    return make(ledger)


def make(ledger: Ledger) -> BatchService:
    rooms = ledger.rooms
    groups = Groups(rooms.db, rooms.devices, rooms.audit, rooms.clock)
    return BatchService(rooms.db, rooms.registry, ledger.commands, groups, rooms.clock)


def send(
    batches: BatchService, devices: list[str] | None = None, *, key: str | None = None
) -> Awaitable[CommandBatch]:
    return batches.send(caller(), "demo", devices or DEVICES, "go", {"n": 1}, idempotency_key=key)


async def test_every_device_gets_a_command_and_the_batch_counts_them(
    ledger: Ledger, batches: BatchService
) -> None:
    rooms = ledger.rooms
    batch = await send(batches, [*DEVICES, "d"])
    assert (batch.total, batch.waiting, batch.states, batch.spread_at) == (3, 3, {}, None)
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = lambda sent: sent.delivered()
    await batches.spread()
    await rooms.heard("command.delivered")
    batch = await batches.get(caller(), batch.id)
    assert (batch.waiting, batch.states) == (0, {"delivered": 1, "queued": 2})
    assert batch.open_count == 2
    assert batch.spread_at == rooms.clock()
    page = await batches.commands(caller(), batch.id, limit=2)
    rest = await batches.commands(caller(), batch.id, limit=2, cursor=page.next_cursor)
    assert [c.device_id for c in [*page.items, *rest.items]] == DEVICES
    queued = await batches.commands(caller(), batch.id, states=["queued"])
    assert [c.device_id for c in queued.items] == ["e", "f"]


async def test_the_worker_spreads_what_comes(ledger: Ledger, batches: BatchService) -> None:
    worker = asyncio.create_task(batches.run())
    await send(batches)
    await ledger.rooms.heard("command.queued", 3)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker


async def test_a_batch_that_broke_off_goes_on_and_sends_nothing_twice(
    ledger: Ledger, batches: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = ledger.rooms
    monkeypatch.setattr("fleetwire.features.commands.batches.AT_ONCE", 1)
    batch = await send(batches)
    stored = ledger.commands.send_on

    async def send_two(*arguments: object) -> object:
        if rooms.names.count("command.queued") == 2:
            raise StoreUnavailableError("the disk is gone")
        return await stored(*arguments)  # type: ignore[arg-type]  # passed on

    with monkeypatch.context() as patch:
        patch.setattr(ledger.commands, "send_on", send_two)
        with pytest.raises(StoreUnavailableError):
            await batches.spread()
    assert (await batches.get(caller(), batch.id)).waiting == 1
    rooms.clock.advance(5)
    ledger.commands = ledger.make()
    await ledger.commands.load()
    again = make(ledger)
    await again.spread()
    done = await again.get(caller(), batch.id)
    assert (done.waiting, done.states, done.refused_count) == (0, {"queued": 3}, 0)
    # The deadline counts from the request, not from the second start.
    commands = (await again.commands(caller(), batch.id)).items
    assert len({command.expires_at for command in commands}) == 1


async def test_who_gets_no_command_is_told_with_the_reason(
    ledger: Ledger, batches: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_OPEN", 1)
    await ledger.send()
    batch = await send(batches)
    await ledger.rooms.devices.delete(caller(), "demo", "f")
    await batches.spread()
    done = await batches.get(caller(), batch.id)
    assert done.states == {"queued": 1}
    assert (done.refused_count, done.waiting) == (2, 0)
    assert done.refused[0] == ("d", "The device has 1 open commands, which is the most.")
    assert done.refused[1][1] == "the device was removed"


async def test_a_batch_past_its_deadline_sends_nothing(
    ledger: Ledger, batches: BatchService
) -> None:
    batch = await send(batches)
    ledger.rooms.clock.advance(60)
    await batches.spread()
    assert (await batches.get(caller(), batch.id)).refused_count == 3
    assert ledger.rooms.names == []


async def test_a_key_sends_one_batch(ledger: Ledger, batches: BatchService) -> None:
    first = await send(batches, key="k")
    assert (await send(batches, key="k")).id == first.id
    with pytest.raises(ConflictError, match="another batch"):
        await send(batches, ["d"], key="k")


async def test_a_batch_with_a_key_is_not_repeated_to_any_device(
    ledger: Ledger, batches: BatchService
) -> None:
    for key, may_repeat in ((None, [True]), ("k", [False])):
        batch = await send(batches, ["d"], key=key)
        await batches.spread()
        (command,) = (await batches.commands(caller(), batch.id)).items
        on_board = ledger.commands._board.get(command.id)
        assert on_board is not None
        assert [on_board.may_repeat] == may_repeat


async def test_whose_a_batch_is_and_what_is_in_it_is_checked(
    ledger: Ledger, batches: BatchService
) -> None:
    await ledger.rooms.register("theirs", by=caller(2))
    with pytest.raises(NotFoundError, match="theirs"):
        await send(batches, ["d", "theirs"])
    with pytest.raises(InvalidValueError):
        await batches.send(caller(), "demo", [], "go", {})
    with pytest.raises(ForbiddenError):
        await batches.send(caller(permissions=frozenset()), "demo", ["d"], "go", {})
    batch = await send(batches)
    with pytest.raises(NotFoundError):
        await batches.get(caller(2), batch.id)
    with pytest.raises(NotFoundError):
        await batches.commands(caller(2), batch.id)
    with pytest.raises(InvalidValueError, match="state"):
        await batches.commands(caller(), batch.id, states=["sleeping"])


async def test_a_batch_goes_to_the_devices_that_its_group_means_then(
    ledger: Ledger, batches: BatchService
) -> None:
    rooms = ledger.rooms
    await batches._groups.create(caller(), "cold", "tag:cold")
    for name in ("e", "f"):
        await rooms.devices.update(caller(), "demo", name, tags=["cold"])
    batch = await batches.send_to(caller(), "go", {}, group="cold")
    await rooms.devices.update(caller(), "demo", "d", tags=["cold"])
    await batches.spread()
    assert (batch.app, batch.group, batch.query, batch.total) == ("demo", "cold", None, 2)
    page = await batches.commands(caller(), batch.id)
    assert [command.device_id for command in page.items] == ["e", "f"]


async def test_a_batch_goes_to_the_devices_that_a_query_means(batches: BatchService) -> None:
    batch = await batches.send_to(caller(), "go", {}, query="type:thing and not app:vending")
    assert (batch.query, batch.total) == ("type:thing and not app:vending", 3)
    with pytest.raises(InvalidValueError) as refused:
        await batches.send_to(caller(), "go", {}, query="tag:")
    assert refused.value.field == "query"


async def test_devices_of_several_apps_are_not_told_alike_by_accident(
    batches: BatchService,
) -> None:
    with pytest.raises(InvalidValueError, match="demo, vending") as refused:
        await batches.send_to(caller(), "go", {}, query="type:thing")
    assert refused.value.field == "app"
    batch = await batches.send_to(caller(), "go", {}, query="type:thing", app="vending")
    assert (batch.app, batch.total) == ("vending", 1)


async def test_a_group_without_devices_is_refused_and_one_of_others_is_not_there(
    batches: BatchService,
) -> None:
    await batches._groups.create(caller(), "none", "tag:none")
    with pytest.raises(InvalidValueError) as refused:
        await batches.send_to(caller(), "go", {}, group="none")
    assert refused.value.field == "group"
    with pytest.raises(NotFoundError):
        await batches.send_to(caller(2), "go", {}, group="none")


async def test_a_repeated_key_stands_for_the_group_and_not_for_who_is_in_it(
    ledger: Ledger, batches: BatchService
) -> None:
    await batches._groups.create(caller(), "cold", "tag:cold")
    await ledger.rooms.devices.update(caller(), "demo", "d", tags=["cold"])
    first = await batches.send_to(caller(), "go", {}, group="cold", idempotency_key="k")
    await ledger.rooms.devices.update(caller(), "demo", "d", tags=[])
    again = await batches.send_to(caller(), "go", {}, group="cold", idempotency_key="k")
    assert again.id == first.id
    with pytest.raises(ConflictError):
        await batches.send_to(caller(), "go", {}, query="tag:cold", idempotency_key="k")
    with pytest.raises(ConflictError):
        await batches.send_to(caller(), "other", {}, group="cold", idempotency_key="k")


async def test_whom_a_query_means_is_told_only_to_who_may_read_devices(
    batches: BatchService,
) -> None:
    sender = caller(permissions=frozenset({"command.send"}))
    with pytest.raises(ForbiddenError):
        await batches.send_to(sender, "go", {}, query="type:thing")


async def test_more_devices_than_a_batch_takes_are_refused(
    batches: BatchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.commands.batches.MAX_DEVICES", 2)
    with pytest.raises(TooManyError):
        await batches.send_to(caller(), "go", {}, query="type:thing")
