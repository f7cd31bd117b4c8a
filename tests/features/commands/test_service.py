"""Commands from the request to what became of them, races included."""

import asyncio

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
from fleetwire.features.commands.board import WINDOW
from fleetwire.features.commands.sinks import MAX_LINES, AnswerSink
from fleetwire.kit import Answer
from tests.fakes import Sent, accepted, caller, client_of
from tests.features.commands.conftest import Ledger

NO_RECEIPT = "the device subscribed with QoS 0, so delivery cannot be known"


def delivered_at_once(sent: Sent) -> None:
    sent.delivered()


async def answer(ledger: Ledger, *answers: Answer) -> list[str]:
    """Let answers come up the road; return the names of the events they cause."""
    sink = AnswerSink(ledger.commands.closed)
    rooms = ledger.rooms
    items = accepted(*answers, at=rooms.clock())
    events = await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))
    return [event.name for event, _ in events]


# --- there and back ---


async def test_a_command_to_a_listening_device_goes_queued_sent_delivered(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    command = await ledger.send("start")
    assert (command.state, command.attempts) == ("queued", 0)
    await rooms.heard("command.sent")
    (sent,) = rooms.downlink.sent
    assert (sent.topic, sent.payload) == ("devices/d/commands", b"start")
    assert sent.expires_at == command.expires_at
    assert (await ledger.get(command.id)).state == "sent"
    sent.delivered()
    await rooms.heard("command.delivered")
    assert rooms.names == ["command.queued", "command.sent", "command.delivered"]
    assert rooms.told[-1].body == {
        "command_id": command.id,
        "device_id": "d",
        "name": "start",
        "state": "delivered",
        "reason": None,
    }
    stored = await ledger.get(command.id)
    assert (stored.state, stored.attempts, stored.parameters) == ("delivered", 1, {"n": 1})
    assert [line.state for line in stored.timeline] == ["queued", "sent", "delivered"]


async def test_a_puback_quicker_than_the_commit_of_sent_comes_after_it(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = delivered_at_once
    command = await ledger.send()
    await rooms.heard("command.delivered")
    assert rooms.names == ["command.queued", "command.sent", "command.delivered"]
    assert await ledger.states(command.id) == ["queued", "sent", "delivered"]


async def test_states_wait_in_order_while_the_database_is_away(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.commands.journal.RETRY_S", 0.01)
    rooms = ledger.rooms
    command = await ledger.send()
    published = asyncio.Event()

    def lose_the_disk(sent: Sent) -> None:
        rooms.db.is_away = True
        sent.delivered()
        published.set()

    rooms.downlink.on_send = lose_the_disk
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await published.wait()
    with pytest.raises(StoreUnavailableError):
        await ledger.commands.flush()
    assert rooms.names == ["command.queued"]
    rooms.db.is_away = False
    await rooms.heard("command.delivered")
    assert await ledger.states(command.id) == ["queued", "sent", "delivered"]


async def test_a_command_that_could_not_be_stored_is_not_sent(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await ledger.send("lost")
    rooms.db.is_away = False
    await ledger.send("stored")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"stored"]


async def test_a_caller_who_goes_away_has_sent_his_command_all_the_same(ledger: Ledger) -> None:
    ledger.rooms.downlink.listening.add(ledger.device.id)
    task = asyncio.create_task(ledger.send())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.rooms.heard("command.sent")
    assert len((await ledger.commands.list(caller(), ledger.device)).items) == 1


# --- an absent device ---


async def test_commands_wait_and_are_published_in_order_when_the_device_listens(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    for n in range(5):
        await ledger.send(f"c{n}")
    assert rooms.downlink.sent == []
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await rooms.heard("command.sent", 5)
    assert ledger.payloads == [b"c0", b"c1", b"c2", b"c3", b"c4"]


async def test_an_anonymous_client_is_the_device_whose_command_topic_it_names(
    ledger: Ledger,
) -> None:
    await ledger.send()
    ledger.rooms.downlink.listening.add(ledger.device.id)
    for topic_filter in ("#", "devices/+/commands", "devices/e/commands", "devices//commands"):
        ledger.commands.listening(client_of(0), topic_filter)
    ledger.commands.listening(client_of(0), "devices/d/commands")
    await ledger.rooms.heard("command.sent")
    assert ledger.payloads == [b"go"]


async def test_only_a_window_is_under_way_and_the_rest_follows_in_order(ledger: Ledger) -> None:
    rooms = ledger.rooms
    names = [f"c{n:02}" for n in range(WINDOW + 4)]
    for name in names:
        await ledger.send(name)
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await rooms.heard("command.sent", WINDOW)
    await ledger.commands.flush()
    assert len(rooms.downlink.sent) == WINDOW
    rooms.downlink.on_send = delivered_at_once
    for sent in list(rooms.downlink.sent):
        sent.delivered()
    await rooms.heard("command.delivered", len(names))
    assert [payload.decode() for payload in ledger.payloads] == names


async def test_a_command_expires_while_the_device_is_offline_and_is_never_published(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    command = await ledger.send(expires_in_s=10)
    ledger.pass_deadlines(9.9)
    ledger.pass_deadlines(0.1)
    await rooms.heard("command.expired")
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await ledger.send("later")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"later"]
    stored = await ledger.get(command.id)
    assert (stored.state, stored.reason) == ("expired", "the device was not there in time")


async def test_a_deadline_that_passes_between_two_looks_still_holds(ledger: Ledger) -> None:
    rooms = ledger.rooms
    await ledger.send("late", expires_in_s=10)
    await ledger.send("good", expires_in_s=100)
    rooms.clock.advance(10)  # nobody has looked at the clock yet
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"good"]


async def test_the_service_looks_at_the_clock_by_itself(ledger: Ledger) -> None:
    rooms = ledger.rooms
    await ledger.send("late", expires_in_s=10)
    rooms.clock.advance(10)
    await ledger.send("another", expires_in_s=100)
    await rooms.heard("command.expired")


# --- losses ---


async def test_a_lost_command_is_queued_again_and_resent_in_its_place(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    for n in range(3):
        await ledger.send(f"c{n}")
    await rooms.heard("command.sent", 3)
    first, second, third = rooms.downlink.sent
    first.delivered()
    rooms.downlink.listening.clear()
    second.lost("the session ended")
    third.lost("the session ended")
    await rooms.heard("command.queued", 5)
    newest, middle, _ = (await ledger.commands.list(caller(), ledger.device)).items
    assert (middle.state, middle.reason, middle.attempts) == ("queued", "the session ended", 1)
    rooms.downlink.sent.clear()
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await rooms.heard("command.sent", 5)
    assert ledger.payloads == [b"c1", b"c2"]
    for sent in rooms.downlink.sent:
        sent.delivered()
    await rooms.heard("command.delivered", 3)
    assert (await ledger.get(newest.id)).attempts == 2
    assert await ledger.states(newest.id) == ["queued", "sent", "queued", "sent", "delivered"]


async def test_a_loss_while_the_device_listens_is_tried_again_after_a_pause(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = lambda sent: sent.lost("the client's queue is full")
    await ledger.send("first")
    await rooms.heard("command.queued", 2)
    rooms.downlink.on_send = delivered_at_once
    await ledger.send("second")  # must not overtake the first
    assert len(rooms.downlink.sent) == 1
    ledger.pass_deadlines(5)
    await rooms.heard("command.delivered", 2)
    assert ledger.payloads == [b"first", b"first", b"second"]


async def test_a_device_that_subscribed_with_qos_0_leaves_it_sent_with_the_reason(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = lambda sent: sent.lost(NO_RECEIPT)
    for n in range(WINDOW + 2):
        await ledger.send(f"c{n}", expires_in_s=10)
    await rooms.heard("command.sent", WINDOW + 2)
    command = (await ledger.commands.list(caller(), ledger.device)).items[0]
    assert (command.state, command.reason) == ("sent", NO_RECEIPT)
    ledger.pass_deadlines(10)
    await rooms.heard("command.expired", WINDOW + 2)
    assert len(rooms.downlink.sent) == WINDOW + 2


async def test_a_loss_after_the_deadline_expires_the_command(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    command = await ledger.send(expires_in_s=10)
    await rooms.heard("command.sent")
    rooms.clock.advance(10)
    rooms.downlink.sent[0].lost("the message expired before it was sent")
    await rooms.heard("command.expired")
    assert await ledger.states(command.id) == ["queued", "sent", "expired"]


async def test_a_delivery_after_the_deadline_is_noted_and_changes_nothing(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    command = await ledger.send(expires_in_s=10)
    await rooms.heard("command.sent")
    ledger.pass_deadlines(10)
    await rooms.heard("command.expired")
    rooms.downlink.sent[0].delivered()
    rooms.downlink.sent[0].lost("and lost")
    await ledger.commands.flush()
    stored = await ledger.get(command.id)
    assert stored.state == "expired"
    assert stored.timeline[-1].reason == "delivered all the same"
    assert "command.delivered" not in rooms.names


# --- restart ---


async def test_after_a_restart_queued_and_sent_commands_go_out_in_order(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    sent = await ledger.send("sent")
    done = await ledger.send("done")
    await rooms.heard("command.sent", 2)
    rooms.downlink.sent[1].delivered()
    await rooms.heard("command.delivered")
    rooms.downlink.listening.clear()
    await ledger.send("queued")
    short = await ledger.send("short", expires_in_s=5)

    rooms.clock.advance(6)
    rooms.downlink.sent.clear()
    ledger.commands = ledger.make()
    await ledger.commands.load()
    assert (await ledger.get(short.id)).state == "expired"
    again = await ledger.get(sent.id)
    assert (again.state, again.reason) == ("queued", "restart")
    async with ledger.running():
        rooms.downlink.listening.add(ledger.device.id)
        ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
        await rooms.heard("command.sent", 4)
    assert ledger.payloads == [b"sent", b"queued"]
    assert (await ledger.get(sent.id)).attempts == 2
    assert (await ledger.get(done.id)).state == "delivered"


async def test_after_a_restart_deadlines_still_pass(ledger: Ledger) -> None:
    rooms = ledger.rooms
    waiting = await ledger.send("waiting", expires_in_s=30)
    rooms.downlink.listening.add(ledger.machine.id)
    unanswered = await ledger.send("unanswered", to=ledger.machine, expires_in_s=30)
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered")
    ledger.commands = ledger.make()
    await ledger.commands.load()
    async with ledger.running():
        ledger.pass_deadlines(30)
        await rooms.heard("command.expired", 2)
    assert (await ledger.get(waiting.id)).reason == "the device was not there in time"
    assert (await ledger.get(unanswered.id)).reason == "the device did not answer in time"


# --- answers ---


async def test_an_answer_closes_the_command_once(ledger: Ledger) -> None:
    rooms = ledger.rooms
    machine = rooms.device("m", app="vending")
    rooms.downlink.listening.add(machine.id)
    command = await ledger.send(to=ledger.machine)
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered")
    first = Answer(machine, command.id, True, result={"slot": 0})
    assert await answer(ledger, first, Answer(machine, command.id, False, "jammed")) == [
        "command.succeeded"
    ]
    assert await answer(ledger, Answer(machine, command.id, False, "jammed")) == []
    stored = await ledger.get(command.id)
    assert (stored.state, stored.reason, stored.result) == ("succeeded", None, {"slot": 0})
    assert [line.reason for line in stored.timeline if line.reason] == [
        "late answer: failed",
        "late answer: failed",
    ]
    for _ in range(MAX_LINES):
        await answer(ledger, first)
    assert len((await ledger.get(command.id)).timeline) == MAX_LINES


async def test_what_was_done_after_all_is_no_longer_expired(ledger: Ledger) -> None:
    rooms = ledger.rooms
    machine = rooms.device("m", app="vending")
    rooms.downlink.listening.add(machine.id)
    command = await ledger.send(to=ledger.machine, expires_in_s=30)
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered")
    ledger.pass_deadlines(30)
    await rooms.heard("command.expired")

    assert await answer(ledger, Answer(machine, command.id, False, state="in_progress")) == []
    assert (await ledger.get(command.id)).state == "expired"
    assert await answer(ledger, Answer(machine, command.id, True)) == ["command.succeeded"]
    assert await answer(ledger, Answer(machine, command.id, False, "jammed")) == []
    stored = await ledger.get(command.id)
    assert stored.state == "succeeded"
    assert [line.state for line in stored.timeline][-4:] == [
        "expired", "expired", "succeeded", "succeeded",
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "rejected"])
async def test_a_cancelled_command_that_had_left_tells_what_became_of_it(
    ledger: Ledger, outcome: str
) -> None:
    rooms = ledger.rooms
    machine = rooms.device("m", app="vending")
    rooms.downlink.listening.add(machine.id)
    command = await ledger.send(to=ledger.machine)
    await rooms.heard("command.sent")
    await ledger.commands.cancel(caller(), command.id)
    assert await answer(ledger, Answer(machine, command.id, False, state=outcome)) == [
        f"command.{outcome}"
    ]
    assert (await ledger.get(command.id)).state == outcome


async def test_an_answer_quicker_than_puback_and_commit_wins(ledger: Ledger) -> None:
    rooms = ledger.rooms
    machine = rooms.device("m", app="vending")
    rooms.downlink.listening.add(machine.id)
    command = await ledger.send(to=ledger.machine)
    await rooms.heard("command.sent")
    assert await answer(ledger, Answer(machine, command.id, False, "empty")) == ["command.failed"]
    rooms.downlink.sent[0].delivered()
    ledger.pass_deadlines(60)
    await ledger.commands.flush()
    stored = await ledger.get(command.id)
    assert (stored.state, stored.reason) == ("failed", "empty")
    assert rooms.names[-1] == "command.sent"


async def test_an_answer_to_what_was_sent_before_a_restart_counts(ledger: Ledger) -> None:
    rooms = ledger.rooms
    machine = rooms.device("m", app="vending")
    rooms.downlink.listening.add(machine.id)
    command = await ledger.send(to=ledger.machine)
    await rooms.heard("command.sent")
    rooms.downlink.sent.clear()
    ledger.commands = ledger.make()
    await ledger.commands.load()
    assert await answer(ledger, Answer(machine, command.id, True)) == ["command.succeeded"]
    async with ledger.running():
        ledger.commands.listening(client_of(machine.id), "devices/m/commands")
        other = await ledger.send("next", to=ledger.machine)
        await rooms.heard("command.sent", 2)
    assert ledger.payloads == [b"next"]
    assert (await ledger.get(other.id)).state == "sent"


async def test_only_the_commands_own_device_can_answer_it(ledger: Ledger) -> None:
    command = await ledger.send(to=ledger.machine)
    imposter = ledger.rooms.device("d")
    assert await answer(ledger, Answer(imposter, command.id, True)) == []
    assert await answer(ledger, Answer(imposter, "f" * 32, True)) == []
    stored = await ledger.get(command.id)
    assert stored.state == "queued"
    assert len(stored.timeline) == 1


async def test_a_delivered_command_that_is_never_answered_expires(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.machine.id)
    command = await ledger.send(to=ledger.machine, expires_in_s=10)
    await rooms.heard("command.sent")
    rooms.downlink.sent[0].delivered()
    await rooms.heard("command.delivered")
    ledger.pass_deadlines(10)
    await rooms.heard("command.expired")
    assert (await ledger.get(command.id)).reason == "the device did not answer in time"


# --- waiting ---


async def test_wait_returns_with_the_outcome(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening |= {ledger.device.id, ledger.machine.id}
    rooms.downlink.on_send = delivered_at_once
    command = await ledger.send()
    assert (await ledger.commands.wait(command.id, 5)).state == "delivered"

    command = await ledger.send(to=ledger.machine)
    waiting = asyncio.create_task(ledger.commands.wait(command.id, 5))
    await rooms.heard("command.delivered", 2)
    assert not waiting.done()
    await answer(ledger, Answer(rooms.device("m", app="vending"), command.id, True))
    assert (await waiting).state == "succeeded"


async def test_wait_returns_what_is_known_when_time_is_up(ledger: Ledger) -> None:
    command = await ledger.send()
    assert (await ledger.commands.wait(command.id, 0.01)).state == "queued"
    with pytest.raises(NotFoundError):
        await ledger.commands.wait("f" * 32, 1)


async def test_wait_ends_when_the_command_is_cancelled_or_expires(ledger: Ledger) -> None:
    first, second = await ledger.send(), await ledger.send(expires_in_s=10)
    waiting = [asyncio.create_task(ledger.commands.wait(c.id, 5)) for c in (first, second)]
    await ledger.commands.cancel(caller(), first.id)
    ledger.pass_deadlines(10)
    outcomes = await asyncio.gather(*waiting)
    assert [outcome.state for outcome in outcomes] == ["cancelled", "expired"]


# --- cancelling ---


async def test_a_cancelled_command_is_not_published(ledger: Ledger) -> None:
    rooms = ledger.rooms
    command = await ledger.send("no")
    cancelled = await ledger.commands.cancel(caller(), command.id)
    assert (cancelled.state, cancelled.reason) == ("cancelled", "by account:1")
    rooms.downlink.listening.add(ledger.device.id)
    await ledger.send("yes")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"yes"]
    assert rooms.names.count("command.cancelled") == 1
    with pytest.raises(ConflictError, match="cancelled"):
        await ledger.commands.cancel(caller(), command.id)


async def test_a_command_that_is_being_cancelled_is_not_published_meanwhile(
    ledger: Ledger,
) -> None:
    rooms = ledger.rooms
    command = await ledger.send("no")
    cancelling = asyncio.create_task(ledger.commands.cancel(caller(), command.id))
    on_board = ledger.commands._board.get(command.id)
    assert on_board is not None
    async with asyncio.timeout(5):
        while not on_board.is_held:  # noqa: ASYNC110  # it has no event; a few loop turns
            await asyncio.sleep(0)
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    assert (await cancelling).state == "cancelled"
    await ledger.send("yes")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"yes"]


async def test_cancelling_what_was_sent_says_that_the_device_may_have_it(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    command = await ledger.send()
    await rooms.heard("command.sent")
    cancelled = await ledger.commands.cancel(caller(), command.id)
    assert cancelled.reason is not None
    assert "may have got it" in cancelled.reason
    rooms.downlink.sent[0].lost("the session ended")
    await ledger.commands.flush()
    assert (await ledger.get(command.id)).state == "cancelled"


async def test_a_delivered_command_cannot_be_cancelled(ledger: Ledger) -> None:
    rooms = ledger.rooms
    rooms.downlink.listening.add(ledger.device.id)
    rooms.downlink.on_send = delivered_at_once
    command = await ledger.send()
    await rooms.heard("command.delivered")
    with pytest.raises(ConflictError, match="delivered"):
        await ledger.commands.cancel(caller(), command.id)


# --- bounds, keys, owners ---


async def test_an_idempotency_key_sends_once(ledger: Ledger) -> None:
    rooms = ledger.rooms
    first, second = await asyncio.gather(ledger.send("one", key="k"), ledger.send("one", key="k"))
    assert first.id == second.id
    assert (await ledger.send("three", to=ledger.machine, key="k")).id != first.id
    rooms.downlink.listening.add(ledger.device.id)
    ledger.commands.listening(client_of(ledger.device.id), "devices/d/commands")
    await rooms.heard("command.sent")
    assert ledger.payloads == [b"one"]
    assert (await ledger.send("one", key="k")).state == "sent"
    with pytest.raises(ConflictError, match="another command"):
        await ledger.send("two", key="k")
    assert len((await ledger.commands.list(caller(), ledger.device)).items) == 1


async def test_open_commands_of_a_device_are_bounded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_OPEN", 3)
    results = await asyncio.gather(
        *[ledger.send(expires_in_s=10) for _ in range(5)], return_exceptions=True
    )
    assert sum(isinstance(result, TooManyError) for result in results) == 2
    await ledger.send(to=ledger.machine)
    ledger.pass_deadlines(10)
    await ledger.send()


async def test_a_command_that_could_not_be_stored_takes_no_room(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_OPEN", 1)
    ledger.rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await ledger.send()
    ledger.rooms.db.is_away = False
    await ledger.send()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("expires_in", {"expires_in_s": 0.5}),
        ("expires_in", {"expires_in_s": 31 * 86_400.0}),
        ("expires_in", {"expires_in_s": float("nan")}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 129}),
        ("Idempotency-Key", {"key": ""}),
        ("Idempotency-Key", {"key": "k" * 129}),
    ],
)
async def test_what_is_out_of_bounds_is_refused_by_name(
    ledger: Ledger, field: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(InvalidValueError) as error:
        await ledger.send(**arguments)  # type: ignore[arg-type]
    assert error.value.field == field


async def test_a_payload_is_bounded(ledger: Ledger) -> None:
    with pytest.raises(InvalidValueError):
        await ledger.commands.send(caller(), ledger.device, "x", {}, payload=b"x" * 65_537)


async def test_another_organisations_commands_are_not_found(ledger: Ledger) -> None:
    command = await ledger.send()
    stranger = caller(2)
    with pytest.raises(NotFoundError):
        await ledger.send(by=stranger)
    with pytest.raises(NotFoundError):
        await ledger.commands.get(stranger, command.id)
    with pytest.raises(NotFoundError):
        await ledger.commands.cancel(stranger, command.id)
    with pytest.raises(NotFoundError):
        await ledger.commands.list(stranger, ledger.device)
    with pytest.raises(ForbiddenError):
        await ledger.send(by=caller(permissions=frozenset({"device.read"})))
    assert (await ledger.get(command.id)).state == "queued"


async def test_the_list_pages_newest_first_with_timelines(ledger: Ledger) -> None:
    names = [f"c{n}" for n in range(5)]
    for name in names:
        await ledger.send(name)
    found: list[str] = []
    cursor = None
    while True:
        page = await ledger.commands.list(caller(), ledger.device, limit=2, cursor=cursor)
        assert all(command.timeline for command in page.items)
        found += [command.name for command in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == names[::-1]


async def test_commands_of_a_removed_device_expire(ledger: Ledger) -> None:
    command = await ledger.send(expires_in_s=10)
    await ledger.rooms.devices.delete(caller(), "demo", "d")
    ledger.pass_deadlines(10)
    await ledger.commands.flush()
    stored = await ledger.get(command.id)
    assert (stored.state, stored.device_id) == ("expired", "")
