"""What the app's HTTP routes take and give."""

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.kit import Bucket, CommandRecord, Credential, DeviceRecord, StoredReading
from fleetwire.kit.instants import iso

Aggregate = Literal["min", "max", "avg", "count"]


def iso_or_none(at: int | None) -> str | None:
    return None if at is None else iso(at)


class Registration(BaseModel):
    """A device to be known from now on, and the patient it is bound to."""

    # A field system may write a patient's number as a number.
    model_config = ConfigDict(
        coerce_numbers_to_str=True,
        json_schema_extra={
            "examples": [
                {
                    "device_id": "bp-001",
                    "type": "blood_pressure_monitor",
                    "patient_id": "P-1001",
                    "model": "Omron M7",
                    "serial_number": "SN-42",
                }
            ]
        },
    )

    device_id: str = Field(min_length=1, max_length=128)
    type: str = Field(min_length=1, max_length=64)
    patient_id: str = Field(min_length=1, max_length=128)
    model: str | None = Field(None, max_length=128)
    serial_number: str | None = Field(None, max_length=128)

    def attributes(self) -> dict[str, str]:
        given = {
            "patient_id": self.patient_id,
            "model": self.model,
            "serial_number": self.serial_number,
        }
        return {name: value for name, value in given.items() if value is not None}


class DeviceChange(BaseModel):
    """What is to change: fields that are not sent stay, null removes."""

    model_config = ConfigDict(
        coerce_numbers_to_str=True, json_schema_extra={"examples": [{"patient_id": "P-1002"}]}
    )

    type: str | None = Field(None, min_length=1, max_length=64)
    patient_id: str | None = Field(None, min_length=1, max_length=128)
    model: str | None = Field(None, max_length=128)
    serial_number: str | None = Field(None, max_length=128)

    def attributes(self) -> dict[str, str | None] | None:
        sent = self.model_fields_set & {"patient_id", "model", "serial_number"}
        return {name: getattr(self, name) for name in sorted(sent)} or None


class DeviceView(BaseModel):
    """A device, what it last said of itself, and whether it is there."""

    id: int
    device_id: str
    type: str
    patient_id: str | None
    model: str | None
    serial_number: str | None
    status: str
    reported: dict[str, Any]
    connected: bool
    connected_reason: str | None
    connected_since: str | None
    last_seen: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, device: DeviceRecord) -> "DeviceView":
        return cls(**_device_fields(device))


class MQTTAccess(BaseModel):
    """How the device connects. The password is shown this once and stored as a hash only."""

    username: str
    password: str
    topics: dict[str, str]


class RegisteredDevice(DeviceView):
    """A device just registered, with its credentials."""

    mqtt: MQTTAccess

    @classmethod
    def with_access(
        cls, device: DeviceRecord, credential: Credential, topics: dict[str, str]
    ) -> "RegisteredDevice":
        access = MQTTAccess(
            username=credential.username, password=credential.password, topics=topics
        )
        return cls(mqtt=access, **_device_fields(device))


def _device_fields(device: DeviceRecord) -> dict[str, Any]:
    return {
        "id": device.id,
        "device_id": device.device_id,
        "type": device.type,
        "patient_id": device.attributes.get("patient_id"),
        "model": device.attributes.get("model"),
        "serial_number": device.attributes.get("serial_number"),
        "status": device.status,
        "reported": device.reported,
        "connected": device.connected,
        "connected_reason": device.connected_reason,
        "connected_since": iso_or_none(device.connected_since_at),
        "last_seen": iso_or_none(device.last_seen_at),
        "created_at": iso(device.created_at),
        "updated_at": iso(device.updated_at),
    }


class DevicePage(BaseModel):
    items: list[DeviceView]
    next_cursor: str | None


class ReadingView(BaseModel):
    """One value. `metadata` is the message as the device sent it."""

    id: int
    device_id: str
    metric_type: str
    value: Any
    unit: str
    timestamp: str
    received_at: str
    flagged: bool
    metadata: Any

    @classmethod
    def of(cls, device_id: str, reading: StoredReading) -> "ReadingView":
        return cls(
            id=reading.id,
            device_id=device_id,
            metric_type=reading.metric,
            value=reading.value,
            unit=reading.unit,
            timestamp=iso(reading.at),
            received_at=iso(reading.received_at),
            flagged=reading.flagged,
            metadata=None if reading.source is None else msgspec.json.decode(reading.source),
        )


class BucketView(BaseModel):
    """The numbers of one metric within one span of time, which begins at `timestamp`."""

    metric_type: str
    unit: str
    timestamp: str
    count: int | None = None
    min: float | None = None
    max: float | None = None
    avg: float | None = None

    @classmethod
    def of(cls, bucket: Bucket, aggregates: set[Aggregate]) -> "BucketView":
        numbers = {name: getattr(bucket, name) for name in aggregates}
        return cls(metric_type=bucket.metric, unit=bucket.unit, timestamp=iso(bucket.at), **numbers)


class DataPage(BaseModel):
    """Readings, newest first; or with `bucket` their summaries, oldest first."""

    device_id: str
    items: list[ReadingView] | list[BucketView]
    next_cursor: str | None = None


class CommandRequest(BaseModel):
    """A command; the device reads it flat: `{"command": …, **parameters}`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"command": "start_monitoring", "parameters": {"interval": 30, "duration": 3600}}
            ]
        }
    )

    command: str = Field(min_length=1, max_length=128)
    parameters: dict[str, Any] = Field(default_factory=dict)


class CommandStep(BaseModel):
    state: str
    reason: str | None
    at: str


class CommandView(BaseModel):
    """A command and what became of it."""

    id: str
    device_id: str
    command: str
    parameters: dict[str, Any]
    state: str
    reason: str | None
    result: Any
    attempts: int
    created_at: str
    expires_at: str
    updated_at: str
    timeline: list[CommandStep]

    @classmethod
    def of(cls, command: CommandRecord) -> "CommandView":
        return cls(
            id=command.id,
            device_id=command.device_id,
            command=command.name,
            parameters=command.parameters,
            state=command.state,
            reason=command.reason,
            result=command.result,
            attempts=command.attempts,
            created_at=iso(command.created_at),
            expires_at=iso(command.expires_at),
            updated_at=iso(command.updated_at),
            timeline=[
                CommandStep(state=step.state, reason=step.reason, at=iso(step.at))
                for step in command.timeline
            ],
        )


class CommandPage(BaseModel):
    items: list[CommandView]
    next_cursor: str | None


class Done(BaseModel):
    """A message was published, or a topic is being watched."""

    success: bool
    message: str
    topic: str
    message_id: str
    qos: int
    timestamp: str


class SeenMessage(BaseModel):
    """A message seen on a topic: `payload` is its text, or base64 where `encoding` says so."""

    topic: str
    payload: str
    timestamp: str
    qos: int
    encoding: Literal["utf-8", "base64"] = "utf-8"


class SeenMessages(BaseModel):
    topic: str
    count: int
    messages: list[SeenMessage]


class HealthView(BaseModel):
    status: Literal["healthy", "unhealthy"]
    service: Literal["mqtt"] = "mqtt"
    connected: bool
    timestamp: str


class ComponentView(BaseModel):
    status: str
    latency_ms: float
    detail: dict[str, Any]


class DetailedHealthView(HealthView):
    components: dict[str, ComponentView]
