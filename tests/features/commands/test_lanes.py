"""Lanes: of a device's lane one command is under way at a time."""

import asyncio

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.commands.sinks import AnswerSink
from fleetwire.kit import Answer, CommandRecord
from tests.fakes import accepted, caller, client_of
from tests.features.commands.conftest import Ledger


async def answer(ledger: Ledger, command_id: str, state: str) -> None:
    rooms = ledger.rooms
    items = accepted(
        Answer(rooms.device("m", app="vending"), command_id, state == "succeeded", state=state),
        at=rooms.clock(),
    )
    sink = AnswerSink(ledger.commands.closed)
    await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))


async def test_the_next_of_a_lane_waits_for_the_outcome_of_the_one_before(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.machine.id)
    first = await ledger.send("first", to=ledger.machine, lane="arm")
    await ledger.send("second", to=ledger.machine, lane="arm")
    await ledger.send("other", to=ledger.machine, lane="lamp")
    await ledger.send("free", to=ledger.machine)
    await rooms.heard("command.sent", 3)
    assert sorted(ledger.payloads) == [b"first", b"free", b"other"]
    rooms.downlink.sent[0].delivered()
    await answer(ledger, first.id, "in_progress")
    await ledger.commands.flush()
    assert b"second" not in ledger.payloads
    await answer(ledger, first.id, "succeeded")
    await rooms.heard("command.sent", 4)
    assert ledger.payloads[-1] == b"second"


async def test_where_no_answer_comes_delivery_frees_the_lane(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = lambda sent: sent.delivered()
    for name in ("a", "b", "c"):
        await ledger.send(name, lane="arm")
    await rooms.heard("command.delivered", 3)
    assert ledger.payloads == [b"a", b"b", b"c"]


async def test_the_end_of_a_deadline_frees_the_lane(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.machine.id)
    await ledger.send("stuck", to=ledger.machine, lane="arm", expires_in_s=10)
    await ledger.send("next", to=ledger.machine, lane="arm", expires_in_s=100)
    await rooms.heard("command.sent")
    ledger.pass_deadlines(10)
    await rooms.heard("command.sent", 2)
    assert ledger.payloads == [b"stuck", b"next"]


async def test_a_restart_keeps_the_lane(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.machine.id)
    first = await ledger.send("first", to=ledger.machine, lane="arm")
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered")
    await answer(ledger, first.id, "accepted")
    await ledger.send("second", to=ledger.machine, lane="arm")
    rooms.downlink.sent.clear()
    ledger.commands = ledger.make()
    await ledger.commands.load()
    async with ledger.running():
        ledger.commands.listening(client_of(ledger.machine.id), "devices/m/commands")
        await ledger.send("free", to=ledger.machine)
        await rooms.heard("command.sent", 2)
        assert ledger.payloads == [b"free"]
        await answer(ledger, first.id, "failed")
        await rooms.heard("command.sent", 3)
    assert ledger.payloads == [b"free", b"second"]


async def test_a_newer_command_supersedes_those_that_wait_in_its_lane(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.machine.id)
    under_way = await ledger.send("under way", to=ledger.machine, lane="arm")
    await rooms.heard("command.sent")
    old = await ledger.send("old", to=ledger.machine, lane="arm")
    lamp = await ledger.send("lamp", to=ledger.device, lane="arm")
    new = await ledger.send("new", to=ledger.machine, lane="arm", supersede=True)
    stored = await ledger.get(old.id)
    assert (stored.state, stored.reason) == ("superseded", f"by {new.id}")
    assert rooms.names.count("command.superseded") == 1
    assert (await ledger.get(under_way.id)).state == "sent"
    assert (await ledger.get(lamp.id)).state == "queued"  # another device's lane of that name
    await answer(ledger, under_way.id, "succeeded")
    await rooms.heard("command.sent", 2)
    assert ledger.payloads == [b"under way", b"new"]


async def test_what_was_just_published_is_not_superseded(ledger: Ledger) -> None:
    """Its row still says queued: the journal is behind, and the device has it."""
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    newer: list[asyncio.Task[CommandRecord]] = []

    def send_another() -> None:
        sending = ledger.send("newer", lane="arm", supersede=True)
        newer.append(asyncio.ensure_future(sending))

    rooms.downlink.on_send = lambda sent: send_another() if not newer else sent.delivered()
    first = await ledger.send("first", lane="arm")
    await rooms.heard("command.sent")
    await newer[0]
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered", 2)
    assert await ledger.states(first.id) == ["queued", "sent", "delivered"]


async def test_superseding_needs_a_lane(ledger: Ledger) -> None:
    with pytest.raises(InvalidValueError) as error:
        await ledger.commands.send(caller(), ledger.device, "go", {}, supersede=True)
    assert error.value.field == "lane"


async def test_a_command_that_could_not_be_stored_frees_its_lane(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.db.is_away = True
    with pytest.raises(Exception, match="did not take"):
        await ledger.send("lost", lane="arm")
    rooms.db.is_away = False
    rooms.downlink.listening.add(ledger.device.id)
    await ledger.send("kept", lane="arm")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"kept"]
