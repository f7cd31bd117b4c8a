"""What may reach a device twice, what may not, and how long is waited in between."""

import asyncio

import pytest

from fleetwire.errors import ConflictError, StoreUnavailableError
from fleetwire.features.commands.dispatcher import LOOK_AGAIN_MOST_US, LOOK_AGAIN_US, pause_us
from fleetwire.features.commands.sinks import AnswerSink
from fleetwire.kit import Answer
from fleetwire.protocol.constants import CORRELATION_DATA
from tests.fakes import Sent, accepted, client_of
from tests.features.commands.conftest import Ledger


def there(ledger: Ledger) -> None:
    """The device begins to listen."""
    ledger.rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")


def test_the_pause_after_a_loss_grows_to_a_bound() -> None:
    assert [pause_us(n) for n in (1, 2, 3)] == [LOOK_AGAIN_US, 2 * LOOK_AGAIN_US, 4 * LOOK_AGAIN_US]
    assert pause_us(60) == LOOK_AGAIN_MOST_US


async def test_a_command_with_a_key_is_stored_as_sent_before_it_is_published(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    states: list[str] = []
    command = await ledger.send("once", key="k")

    def look(sent: Sent) -> None:
        with rooms.db.engine.connect() as connection:
            states.append(str(connection.exec_driver_sql("SELECT state FROM commands").scalar()))

    rooms.downlink.on_send = look
    there(ledger)
    await rooms.heard("command.sent")
    assert states == ["sent"]
    assert (await ledger.get(command.id)).attempts == 1


async def test_it_is_not_published_while_that_cannot_be_stored(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.commands.dispatcher.RETRY_S", 0.01)
    monkeypatch.setattr("fleetwire.features.commands.journal.RETRY_S", 0.01)
    await ledger.send("once", key="k")
    ledger.rooms.db.is_away = True
    there(ledger)
    with pytest.raises(StoreUnavailableError):
        await ledger.commands._dispatcher.publish()
    assert ledger.payloads == []
    ledger.rooms.db.is_away = False
    await ledger.rooms.heard("command.sent")
    await asyncio.wait_for(_until_published(ledger), 5)
    assert ledger.payloads == [b"once"]


async def _until_published(ledger: Ledger) -> None:
    while not ledger.payloads:  # noqa: ASYNC110  # the fake has no event; a few loop turns
        await asyncio.sleep(0.005)


async def test_a_lost_command_that_must_not_be_repeated_stays_sent_and_says_so(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    command = await ledger.send("once", key="k", expires_in_s=10)
    there(ledger)
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].lost("the session ended")
    await rooms.heard("command.sent", 2)
    there(ledger)
    await ledger.send("next")
    await rooms.heard("command.sent", 3)
    assert ledger.payloads == [b"once", b"next"]
    stored = await ledger.get(command.id)
    assert stored.state == "sent"
    assert stored.reason == "the session ended; the device may have got it, so it is not sent again"
    ledger.pass_deadlines(10)
    await rooms.heard("command.expired")
    assert (await ledger.get(command.id)).reason == "the device did not confirm it in time"


async def test_what_never_left_may_be_sent_again(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.on_send = lambda sent: sent.lost("the client's queue is full")
    there(ledger)
    command = await ledger.send("once", key="k")
    await rooms.heard("command.queued", 2)
    rooms.downlink.on_send = lambda sent: sent.delivered()
    ledger.pass_deadlines(5)
    await rooms.heard("command.delivered")
    assert ledger.payloads == [b"once", b"once"]
    assert (await ledger.get(command.id)).attempts == 2


async def test_a_device_that_has_just_left_gets_it_when_it_comes_again(ledger: Ledger) -> None:
    rooms = ledger.rooms
    client = client_of(ledger.device.id)
    ledger.commands.listening(client, "devices/d/commands")  # and the broker knows better
    command = await ledger.send("once", key="k")
    await rooms.heard("command.queued", 2)
    ledger.commands.disconnected(client, "lost")
    assert ledger.payloads == []
    there(ledger)
    await rooms.heard("command.sent", 2)
    assert await ledger.states(command.id) == ["queued", "sent", "queued", "sent"]


async def test_an_absent_device_leaves_it_queued_without_a_trace(ledger: Ledger) -> None:
    client = client_of(ledger.device.id)
    ledger.commands.listening(client, "devices/d/commands")
    ledger.commands.disconnected(client, "lost")
    command = await ledger.send("once", key="k")
    await ledger.commands._dispatcher.publish()
    await ledger.commands.flush()
    assert await ledger.states(command.id) == ["queued"]


async def test_after_a_restart_only_what_may_be_repeated_is_sent_again(ledger: Ledger) -> None:
    rooms = ledger.rooms
    there(ledger)
    once = await ledger.send("once", key="k")
    again = await ledger.send("again", key="l", retry=True)
    await rooms.heard("command.sent", 2)
    rooms.downlink.sent.clear()
    ledger.commands = ledger.make()
    await ledger.commands.load()
    async with ledger.running():
        there(ledger)
        await rooms.heard("command.sent", 4)
    assert ledger.payloads == [b"again"]
    stored = await ledger.get(once.id)
    assert stored.state == "sent"
    assert stored.reason is not None
    assert stored.reason.startswith("restart; the device may have got it")
    assert await ledger.states(again.id) == ["queued", "sent", "queued", "sent"]


async def test_an_answer_settles_what_was_unknown(ledger: Ledger) -> None:
    rooms = ledger.rooms
    there(ledger)
    once = await ledger.send("once", key="k")
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].lost("the session ended")
    sink = AnswerSink(ledger.commands.closed)
    items = accepted(Answer(rooms.device("d"), once.id, False, "no", state="rejected"))
    await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))
    await ledger.commands.flush()
    assert (await ledger.get(once.id)).state == "rejected"


async def test_the_publish_carries_the_commands_id_as_correlation_data(ledger: Ledger) -> None:
    there(ledger)
    command = await ledger.send()
    await ledger.rooms.heard("command.sent")
    assert ledger.rooms.downlink.sent[0].properties == {CORRELATION_DATA: command.id.encode()}


async def test_a_key_of_another_command_is_refused_also_after_a_restart(ledger: Ledger) -> None:
    first = await ledger.send("one", key="k")
    ledger.commands = ledger.make()
    await ledger.commands.load()
    async with ledger.running():
        assert (await ledger.send("one", key="k")).id == first.id
        for other in ({"expires_in_s": 61.0}, {"lane": "arm"}, {"retry": True}):
            with pytest.raises(ConflictError, match="another command"):
                await ledger.send("one", key="k", **other)  # type: ignore[arg-type]  # a few of them
