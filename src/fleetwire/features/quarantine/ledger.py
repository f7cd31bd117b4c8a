"""QuarantineLedger: what becomes of refused messages that are carried once more."""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select, update

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.errors import ConflictError
from fleetwire.features.quarantine.search import RefusedMessage
from fleetwire.features.quarantine.sink import (
    MAX_PAYLOAD_BYTES,
    MAX_REASON_CHARS,
    MAX_TOPIC_CHARS,
    QuarantineSqlSink,
)
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.ingest.batch import Accepted, Ledger, Refused
from fleetwire.protocol.packets import Publish
from fleetwire.store.database import Transaction


def delivery_of(message: RefusedMessage, refused: str) -> Delivery:
    """Return the message as the road takes it; `refused` is "" or why it may not pass."""
    grant = Grant(message.identity, [], [], organization_id=message.organization_id or 0)
    publish = Publish(message.topic, message.payload, message.qos)
    sender = Session(message.client_id, grant)
    return Delivery(publish, sender, message.received_at, None, refused)


def is_whole(message: RefusedMessage) -> bool:
    """Say whether all of it was kept, so that it can be carried again."""
    return (
        len(message.payload) == message.payload_bytes <= MAX_PAYLOAD_BYTES
        and len(message.topic) < MAX_TOPIC_CHARS
    )


class QuarantineLedger(Ledger):
    """The rows behind the deliveries of one batch."""

    def __init__(
        self, sink: QuarantineSqlSink, messages: Mapping[Delivery, RefusedMessage]
    ) -> None:
        self._sink = sink
        self._messages = messages

    def claim(self, tx: Transaction, deliveries: Sequence[Delivery]) -> None:
        # By when they came, too: the number of a row that is gone may be given to another.
        wanted = {(self._messages[each].id, each.received_at) for each in deliveries}
        found = tx.execute(
            select(quarantine.c.id, quarantine.c.received_at).where(
                quarantine.c.id.in_([id for id, _ in wanted])
            )
        )
        if {(row.id, row.received_at) for row in found} != wanted:
            raise ConflictError("It is not in quarantine any more.")

    def settle(
        self, tx: Transaction, accepted: Sequence[Accepted], refused: Sequence[Refused]
    ) -> None:
        gone = [self._messages[entry.delivery] for entry in accepted]
        if gone:
            tx.execute(delete(quarantine).where(quarantine.c.id.in_([each.id for each in gone])))
            size = sum(len(each.payload) for each in gone)
            tx.after_commit(lambda: self._sink.changed(-len(gone), -size))
        for each in refused:
            tx.execute(
                update(quarantine)
                .where(quarantine.c.id == self._messages[each.delivery].id)
                .values(
                    organization_id=each.organization_id,
                    app=each.app,
                    reason_code=each.reason_code,
                    reason=each.reason[:MAX_REASON_CHARS],
                )
            )
