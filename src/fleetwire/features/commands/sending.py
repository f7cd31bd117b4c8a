"""SendSink: commands that handlers and apps' own work ask for, stored with what caused them."""

from collections.abc import Sequence as SequenceOf

from fleetwire.errors import ConflictError, TooManyError
from fleetwire.features.commands import repository
from fleetwire.features.commands.board import Command
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.service import MAX_OPEN, CommandService
from fleetwire.features.commands.states import QUEUED
from fleetwire.features.commands.terms import Terms, rows_of
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Effect, Event, SendCommand
from fleetwire.store.database import Transaction


class SendSink(Sink):
    """Stores commands as queued; after the commit they are published like all others.

    Whoever asks decides who may: a handler acts for its device, an app's work for its caller.
    """

    def __init__(self, commands: CommandService) -> None:
        self._commands = commands

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        """Store the commands.

        Raises InvalidValueError, ConflictError if the idempotency key was used for another command
        or the app's devices take none, TooManyError if a device has MAX_OPEN open commands.
        """
        events: list[tuple[Event, Accepted]] = []
        stored: list[Command] = []
        for effect, entry in items:
            assert isinstance(effect, SendCommand)
            terms = self._commands.terms_for(
                effect.device,
                effect.name,
                effect.parameters,
                payload=effect.payload,
                expires_in_s=effect.expires_in_s,
                idempotency_key=effect.idempotency_key,
                lane=effect.lane,
                retry=effect.retry,
            )
            if self._was_sent(tx, effect, terms):
                continue
            command = self._command(tx, effect, terms, stored)
            stored.append(command)
            events.append((event_of(effect.device, command.id, terms.name, QUEUED, None), entry))
        if stored:
            tx.after_commit(lambda: self._commands.stored(stored))
        return events

    def _was_sent(self, tx: Transaction, effect: SendCommand, terms: Terms) -> bool:
        if terms.idempotency_key is None:
            return False
        first = repository.find_by_key(tx.connection, effect.device.id, terms.idempotency_key)
        if first is None:
            return False
        if first[1] not in (None, terms.request):
            raise ConflictError(
                f"The key {terms.idempotency_key!r} was used for another command.",
                field="idempotency_key",
            )
        return True

    def _command(
        self, tx: Transaction, effect: SendCommand, terms: Terms, stored: list[Command]
    ) -> Command:
        device = effect.device
        waiting = sum(1 for each in stored if each.device == device.id)
        if self._commands.count_open(device) + waiting >= MAX_OPEN:
            raise TooManyError(f"The device has {MAX_OPEN} open commands, which is the most.")
        command, created_at = self._commands.new_command(terms, device, effect.id, QUEUED)
        row, beside = rows_of(
            command.id, device, terms, effect.requested_by, created_at, command.expires_at
        )
        repository.insert_command(tx, row, beside)
        return command
