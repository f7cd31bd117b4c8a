"""AnswerSink: a device's answer closes its command, once."""

from collections.abc import Callable, Sequence as SequenceOf

from fleetwire.features.commands import repository
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.repository import Step
from fleetwire.features.commands.states import FAILED, SUCCEEDED
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Answer, Effect, Event
from fleetwire.store.database import Transaction

MAX_LINES = 50  # of one timeline: a device that repeats its answer forever fills no table


class AnswerSink(Sink):
    """Closes commands; an answer that is late, repeated or not the device's own changes nothing.

    `closed` is called after the commit with the ids of the commands that were closed.
    """

    def __init__(self, closed: Callable[[list[str]], None]) -> None:
        self._closed = closed

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        events: list[tuple[Event, Accepted]] = []
        closed: list[str] = []
        for effect, entry in items:
            assert isinstance(effect, Answer)
            owner = repository.find_owner(tx.connection, effect.command_id)
            if owner is None or owner.device != effect.device.id:
                continue
            at = entry.delivery.received_at
            state = SUCCEEDED if effect.success else FAILED
            step = Step(owner.id, state, effect.reason, at, result=effect.result)
            if repository.apply(tx, step):
                event = event_of(effect.device, owner.id, owner.name, state, effect.reason)
                events.append((event, entry))
                closed.append(owner.id)
            elif repository.count_lines(tx, owner.id) < MAX_LINES:
                repository.add_line(tx, owner.id, owner.state, f"late answer: {state}", at)
        if closed:
            tx.after_commit(lambda: self._closed(closed))
        return events
