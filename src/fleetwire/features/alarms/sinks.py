"""AlarmSink: alarms become rows and events."""

from collections.abc import Sequence as SequenceOf

from sqlalchemy import insert

from fleetwire.features.alarms.tables import alarms
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Alarm, Effect, Event
from fleetwire.store.database import Transaction

RAISED = "alarm.raised"
MAX_NAME_CHARS = 64
MAX_MESSAGE_CHARS = 500


class AlarmSink(Sink):
    """Stores alarms; each is told as `alarm.raised`."""

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        rows = []
        events: list[tuple[Event, Accepted]] = []
        for effect, entry in items:
            assert isinstance(effect, Alarm)
            device = effect.device
            body = {
                "device_id": device.device_id,
                "name": effect.name[:MAX_NAME_CHARS],
                "severity": effect.severity,
                "message": effect.message[:MAX_MESSAGE_CHARS],
                "detail": effect.detail,
            }
            rows.append(
                {
                    "organization_id": device.organization_id,
                    "app": device.app,
                    "device": device.id,
                    "name": body["name"],
                    "severity": effect.severity,
                    "message": body["message"],
                    "detail": effect.detail,
                    "raised_at": entry.delivery.received_at,
                }
            )
            events.append((Event(RAISED, device, body), entry))
        tx.execute(insert(alarms), rows)
        return events
