"""AnswerSink: what devices answer becomes the state of their commands."""

from collections.abc import Callable, Sequence as SequenceOf

from fleetwire.errors import InvalidValueError
from fleetwire.features.commands import repository
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.repository import Step
from fleetwire.features.commands.states import ANSWERS, FAILED, SUCCEEDED
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Answer, Effect, Event
from fleetwire.store.database import Transaction

MAX_LINES = 50  # of one timeline: a device that repeats its answer forever fills no table


class AnswerSink(Sink):
    """Moves commands on; what is repeated, out of turn or not the device's own changes no state.

    `answered` is called after the commit with (id, new state) of the commands that moved.
    """

    def __init__(self, answered: Callable[[list[tuple[str, str]]], None]) -> None:
        self._answered = answered

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        """Store the answers. Raises InvalidValueError for a state that no device can tell."""
        events: list[tuple[Event, Accepted]] = []
        moved: list[tuple[str, str]] = []
        for effect, entry in items:
            assert isinstance(effect, Answer)
            state = effect.state or (SUCCEEDED if effect.success else FAILED)
            if state not in ANSWERS:
                raise InvalidValueError(
                    f"The state of a command must be one of {', '.join(sorted(ANSWERS))}",
                    field="state",
                )
            owner = repository.find_owner(tx.connection, effect.command_id)
            if owner is None or owner.device != effect.device.id:
                continue
            at = entry.delivery.received_at
            step = Step(owner.id, state, effect.reason, at, result=effect.result)
            if repository.apply(tx, step):
                event = event_of(effect.device, owner.id, owner.name, state, effect.reason)
                events.append((event, entry))
                moved.append((owner.id, state))
            elif repository.count_lines(tx, owner.id) < MAX_LINES:
                repository.add_line(tx, owner.id, owner.state, f"late answer: {state}", at)
        if moved:
            tx.after_commit(lambda: self._answered(moved))
        return events
