"""The door for app authors: everything an app may import."""

from fleetwire.errors import (
    ConflictError,
    DomainError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    SettingsError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.kit.app import App, Listener, Payload, Raw, Subscription
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Alarm, Answer, Effect, Event, Reading, Report, Value
from fleetwire.kit.http import Asks, Gate, service, who_asks
from fleetwire.kit.message import Incoming, NotAcceptedError
from fleetwire.kit.services import (
    Audit,
    Bucket,
    Caller,
    CommandEvent,
    CommandRecord,
    Commands,
    Component,
    Credential,
    CredentialRecord,
    DeviceRecord,
    Devices,
    Health,
    LiveEvent,
    Messages,
    Page,
    Realtime,
    RecentMessage,
    StoredReading,
    Telemetry,
)

__all__ = [
    "Alarm", "Answer", "App", "Asks", "Audit", "Bucket", "Caller", "CommandEvent",
    "CommandRecord", "Commands", "Component", "ConflictError", "Credential", "CredentialRecord",
    "Device", "DeviceRecord", "Devices", "DomainError", "Effect", "Event", "ForbiddenError", "Gate",
    "Health", "Incoming", "InvalidValueError", "Listener", "LiveEvent", "Messages",
    "NotAcceptedError", "NotFoundError", "Page", "Payload", "Raw", "Reading", "Realtime",
    "RecentMessage", "Report", "SettingsError", "StoredReading", "Subscription", "Telemetry", "TooManyError",
    "UnauthenticatedError", "Value", "service", "who_asks",
]
