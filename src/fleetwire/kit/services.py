"""The services an app is given, by interface. `features` implements them, tests may fake them.

Every call that acts for somebody takes the `Caller`, and sees his organisation only: what belongs
to another is NotFoundError. Instants are microseconds since 1970-01-01 UTC.
"""

from fleetwire.kit.audit import Audit
from fleetwire.kit.caller import Caller
from fleetwire.kit.commands import (
    CommandBatch,
    CommandBatches,
    CommandEvent,
    CommandRecord,
    Commands,
)
from fleetwire.kit.devices import Credential, CredentialRecord, DeviceRecord, Devices
from fleetwire.kit.health import Component, Health
from fleetwire.kit.messages import Messages, RecentMessage
from fleetwire.kit.paging import Page
from fleetwire.kit.realtime import LiveEvent, Realtime
from fleetwire.kit.telemetry import Bucket, StoredReading, Telemetry

__all__ = [
    "Audit",
    "Bucket",
    "Caller",
    "CommandBatch",
    "CommandBatches",
    "CommandEvent",
    "CommandRecord",
    "Commands",
    "Component",
    "Credential",
    "CredentialRecord",
    "DeviceRecord",
    "Devices",
    "Health",
    "LiveEvent",
    "Messages",
    "Page",
    "Realtime",
    "RecentMessage",
    "StoredReading",
    "Telemetry",
]
