"""Commands that an app asks for as an effect, and commands on several topics."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleetwire.kit import App, Commands, Device, Devices, Payload, SendCommand
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

TOPICS = ["coffee/m1/orders", "coffee/m1/old-orders"]


class Empty(Payload):
    key: str | None = None
    cups: int = 1
    lane: str | None = None


def refilling(**more: Any) -> App:
    """Return an app that orders beans whenever a machine says that it is empty."""
    app = coffee(publishes=["coffee/{device_id}/brewed", "coffee/{device_id}/empty"], **more)

    @app.subscribe("coffee/{device_id}/empty")
    def empty(device: Device, body: Empty) -> SendCommand:
        return SendCommand(
            device, "refill", {"cups": body.cups}, idempotency_key=body.key, lane=body.lane
        )

    return app


async def test_a_command_goes_to_all_topics_and_is_delivered_once() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        sent = await hub.service(Commands).send(hub.caller, record, "brew", {"cups": 1})
        received = [await machine.next_message(), await machine.next_message()]
        assert [each.topic for each in received] == TOPICS
        assert received[0].payload == received[1].payload
        assert {each.command_id for each in received} == {sent.id}
        await hub.event("command.delivered")
        await hub.settle()
        timeline = (await hub.service(Commands).get(hub.caller, sent.id)).timeline
    assert [line.state for line in timeline] == ["queued", "sent", "delivered"]


async def test_a_command_is_lost_only_when_no_topic_can_confirm_it() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        machine.is_deaf = True
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        sent = await hub.service(Commands).send(hub.caller, record, "brew", {})
        await machine.next_message()
        await machine.next_message()
        machine.disconnect()
        await hub.event("command.queued", 2)
        await hub.settle()
        found = await hub.service(Commands).get(hub.caller, sent.id)
    assert [line.state for line in found.timeline] == ["queued", "sent", "queued"]


async def test_a_device_that_reads_one_of_the_topics_gets_the_command_there() -> None:
    app = coffee(subscribes=["coffee/{device_id}/old-orders"])
    async with TestHub(app) as hub:
        machine = await hub.device("m1")
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        await hub.service(Commands).send(hub.caller, record, "brew", {})
        assert (await machine.next_message()).topic == TOPICS[1]
        await hub.event("command.delivered")


async def test_a_handlers_command_is_sent_after_the_commit_and_answered() -> None:
    async with TestHub(refilling()) as hub:
        machine = await hub.device("m1")
        assert (await machine.send("coffee/{device_id}/empty", {"cups": 9})).is_stored
        command = await machine.next_message()
        assert command.json() == {
            "command": "refill", "cups": 9, "command_id": command.command_id
        }  # fmt: skip
        await hub.event("command.delivered")
        await machine.answer(command.command_id)
        closed = await hub.service(Commands).wait(command.command_id, 5)
        assert closed.state == "succeeded"
        assert [event.name for event in hub.events if event.name.startswith("command")] == [
            "command.queued", "command.sent", "command.delivered", "command.succeeded"
        ]  # fmt: skip


async def test_a_handlers_command_waits_for_a_device_that_is_away() -> None:
    async with TestHub(refilling()) as hub:
        machine = await hub.device("m1", is_connected=False)
        await machine.send("coffee/{device_id}/empty", {})
        await machine.connect()
        assert (await machine.next_message()).json()["command"] == "refill"


async def test_a_command_with_a_key_is_sent_once_and_its_id_is_the_same() -> None:
    async with TestHub(refilling()) as hub:
        machine = await hub.device("m1")
        for _ in range(2):
            assert (await machine.send("coffee/{device_id}/empty", {"key": "k"})).is_stored
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        found = (await hub.service(Commands).list(hub.caller, record)).items
        assert [each.id for each in found] == [
            SendCommand(machine.device, "refill", idempotency_key="k").id
        ]


async def test_a_key_that_was_used_for_another_command_is_refused() -> None:
    async with TestHub(refilling()) as hub:
        machine = await hub.device("m1")
        assert (await machine.send("coffee/{device_id}/empty", {"key": "k"})).is_stored
        outcome = await machine.send("coffee/{device_id}/empty", {"key": "k", "cups": 2})
    assert not outcome.is_stored


async def test_of_a_lane_one_command_is_under_way_at_a_time() -> None:
    async with TestHub(refilling(command_topics=["coffee/{device_id}/orders"])) as hub:
        machine = await hub.device("m1")
        for cups in (1, 2):
            await machine.send("coffee/{device_id}/empty", {"cups": cups, "lane": "tank"})
        first = await machine.next_message()
        await hub.event("command.delivered")
        await hub.settle()
        assert len(machine.received) == 1
        await machine.answer(first.command_id)
        assert (await machine.next_message()).json()["cups"] == 2


async def test_a_command_that_was_stored_survives_a_restart(tmp_path: Any) -> None:
    async with TestHub(refilling(), folder=tmp_path) as hub:
        machine = await hub.device("m1", is_connected=False)
        await machine.send("coffee/{device_id}/empty", {"cups": 4})
    async with TestHub(refilling(), folder=tmp_path) as hub:
        machine = await hub.device("m1")
        assert (await machine.next_message()).json()["cups"] == 4


async def test_devices_that_take_no_commands_are_sent_none() -> None:
    async with TestHub(refilling(command_topics=[], response_topic=None)) as hub:
        machine = await hub.device("m1")
        assert not (await machine.send("coffee/{device_id}/empty", {})).is_stored


def test_a_command_has_an_id_of_its_own_unless_it_has_a_key() -> None:
    device = Device(1, "coffee", "m1", 1, "machine", {})
    assert SendCommand(device, "a").id != SendCommand(device, "a").id
    keyed = SendCommand(device, "a", idempotency_key="k").id
    assert keyed == SendCommand(device, "b", idempotency_key="k").id
    other = Device(2, "coffee", "m2", 1, "machine", {})
    assert keyed != SendCommand(other, "a", idempotency_key="k").id


@pytest.mark.parametrize(
    ("fields", "first", "topics"),
    [
        ({"command_topic": "a"}, "a", ["a"]),
        ({"command_topics": ["a", "b"]}, "a", ["a", "b"]),
        ({"command_topic": "c", "command_topics": ["a"]}, "c", ["c", "a"]),
        ({}, None, []),
    ],
)
def test_one_command_topic_is_the_first_of_several(
    fields: dict[str, Any], first: str | None, topics: list[str]
) -> None:
    app = App("demo", **fields)
    assert (app.command_topic, app.command_topics) == (first, topics)


async def test_a_command_is_in_the_database_when_its_message_is_acknowledged(
    tmp_path: Path,
) -> None:
    """What a kill at that moment leaves behind is a copy of the database as it is then."""
    before, after = tmp_path / "before", tmp_path / "after"
    (after / "data").mkdir(parents=True)
    before.mkdir()
    async with TestHub(refilling(), folder=before) as hub:
        machine = await hub.device("m1", is_connected=False)
        await machine.send("coffee/{device_id}/empty", {"cups": 4})
        source = sqlite3.connect(before / "data" / "fleetwire.db")
        with closing(source), closing(sqlite3.connect(after / "data" / "fleetwire.db")) as copy:
            source.backup(copy)
    async with TestHub(refilling(), folder=after) as hub:
        machine = await hub.device("m1")
        assert (await machine.next_message()).json()["cups"] == 4


async def test_a_device_that_is_sent_a_command_by_anothers_message_was_not_heard() -> None:
    app = coffee(publishes=["coffee/{device_id}/ring"])

    @app.subscribe("coffee/{device_id}/ring")
    def ring(device: Device, body: Empty) -> SendCommand:
        return SendCommand(other, "brew")

    async with TestHub(app) as hub:
        bell = await hub.device("bell", is_connected=False)
        other = (await hub.device("m1", is_connected=False)).device
        await bell.send("coffee/{device_id}/ring", {})
        await hub.event("command.queued")
        await hub.settle()
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
    assert record.last_seen_at is None
