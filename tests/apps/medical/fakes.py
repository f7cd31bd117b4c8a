"""The house as the medical app's routes see it, in memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from fleetwire.kit import (
    App,
    Audit,
    Bucket,
    Caller,
    CommandEvent,
    CommandRecord,
    Commands,
    Component,
    ConflictError,
    Credential,
    CredentialRecord,
    Device,
    DeviceRecord,
    Devices,
    DomainError,
    Gate,
    Health,
    InvalidValueError,
    LiveEvent,
    Messages,
    NotFoundError,
    Page,
    Realtime,
    RecentMessage,
    StoredReading,
    Telemetry,
    UnauthenticatedError,
)
from fleetwire.kit.app import flat_command

ALICE = Caller("account:1", 1, frozenset({"device.read", "telemetry.read"}), email="alice@x")
AT = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


class FakeGate(Gate):
    """Lets in `Bearer good`, or `?token=good`, as long as it is good."""

    def __init__(self) -> None:
        self.is_good = True

    async def caller(self, connection: HTTPConnection) -> Caller:
        header = connection.headers.get("authorization")
        token = connection.query_params.get("token")
        if self.is_good and (header == "Bearer good" or token == "good"):
            return ALICE
        raise UnauthenticatedError("The token is not valid.")


class FakeDevices(Devices):
    def __init__(self) -> None:
        self.records: dict[str, DeviceRecord] = {}
        self.listed: dict[str, Any] = {}

    def find(self, app: str, device_id: str) -> Device | None:
        record = self.records.get(device_id)
        if record is None or record.app != app:
            return None
        return Device(
            record.id, app, device_id, record.organization_id, record.type, record.attributes
        )

    async def register(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        type: str,
        *,
        name: str | None = None,
        attributes: dict[str, Any] | None = None,
        status: str = "inactive",
    ) -> tuple[DeviceRecord, Credential]:
        if device_id in self.records:
            raise ConflictError(f"Device {device_id!r} exists.", field="device_id")
        record = DeviceRecord(
            len(self.records) + 1,
            app,
            device_id,
            caller.organization_id,
            type,
            name,
            attributes or {},
            status,
            {},
            False,
            None,
            None,
            None,
            AT,
            AT,
        )
        self.records[device_id] = record
        return record, Credential(1, device_id, "secret", None)

    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord:
        record = self.records.get(device_id)
        if record is None or (record.app, record.organization_id) != (app, caller.organization_id):
            raise NotFoundError(f"There is no device {device_id!r}.", field="device_id")
        return record

    async def list(
        self,
        caller: Caller,
        app: str | None,
        *,
        attributes: dict[str, str] | None = None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceRecord]:
        self.listed = {"attributes": attributes, "search": search, "limit": limit, "cursor": cursor}
        return Page(list(self.records.values()), "next")

    async def count(
        self, caller: Caller, app: str | None = None, *, query: str | None = None
    ) -> int:
        return len(self.records)

    async def update(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        name: str | None = None,
        type: str | None = None,
        attributes: dict[str, Any] | None = None,
        expects: Callable[[DeviceRecord], None] = lambda device: None,
    ) -> DeviceRecord:
        record = await self.get(caller, app, device_id)
        expects(record)
        record.type = type or record.type
        for key, value in (attributes or {}).items():
            if value is None:
                record.attributes.pop(key, None)
            else:
                record.attributes[key] = value
        return record

    async def delete(self, caller: Caller, app: str, device_id: str) -> None:
        await self.get(caller, app, device_id)
        del self.records[device_id]

    async def issue_credential(
        self, caller: Caller, app: str, device_id: str, *, expires_at: int | None = None
    ) -> Credential:
        raise NotImplementedError

    async def credentials(
        self, caller: Caller, app: str, device_id: str
    ) -> Sequence[CredentialRecord]:
        raise NotImplementedError

    async def revoke_credential(
        self, caller: Caller, app: str, device_id: str, credential_id: int
    ) -> None:
        raise NotImplementedError


class FakeTelemetry(Telemetry):
    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def query(
        self, caller: Caller, device: DeviceRecord, **asked: Any
    ) -> Page[StoredReading]:
        self.asked = asked
        reading = StoredReading(
            5, "blood_pressure.systolic", 120, "mmHg", AT, AT + 1000, False, '{"systolic":120}'
        )
        return Page([reading], "next")

    async def latest(self, caller: Caller, device: DeviceRecord) -> Sequence[StoredReading]:
        raise NotImplementedError

    async def buckets(self, caller: Caller, device: DeviceRecord, **asked: Any) -> Sequence[Bucket]:
        self.asked = asked
        return [Bucket(AT, "heart_rate", "/min", 3, 60.0, 80.0, 70.0)]


class FakeCommands(Commands):
    def __init__(self) -> None:
        self.outcome = "delivered"
        self.sent: list[dict[str, Any]] = []
        self.waited_s: float | None = None

    def record(self, state: str) -> CommandRecord:
        return CommandRecord(
            "c1",
            "bp-1",
            "start",
            {"interval": 30},
            state,
            None,
            None,
            1,
            AT,
            AT + 60_000_000,
            AT,
            [CommandEvent("queued", None, AT)],
        )

    async def send(
        self,
        caller: Caller,
        device: DeviceRecord,
        name: str,
        parameters: dict[str, Any],
        **more: Any,
    ) -> CommandRecord:
        flat_command(name, parameters)  # as the real one: it refuses what it cannot write
        self.sent.append({"name": name, "parameters": parameters, **more})
        return self.record("queued")

    async def wait(self, command_id: str, timeout_s: float) -> CommandRecord:
        self.waited_s = timeout_s
        return self.record(self.outcome)

    async def get(self, caller: Caller, command_id: str) -> CommandRecord:
        raise NotImplementedError

    async def list(
        self, caller: Caller, device: DeviceRecord, *, limit: int = 50, cursor: str | None = None
    ) -> Page[CommandRecord]:
        return Page([self.record("delivered")], None)

    async def cancel(self, caller: Caller, command_id: str) -> CommandRecord:
        raise NotImplementedError


class FakeMessages(Messages):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.seen: list[RecentMessage] = []

    async def publish(
        self, caller: Caller, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> str:
        if "+" in topic:
            raise BadTopicError("Topic Name contains a wildcard", field="topic")
        self.calls.append(("publish", topic, payload, qos))
        return "m1"

    async def retain(self, caller: Caller, topic: str, payload: bytes) -> None:
        self.calls.append(("retain", topic, payload))

    async def watch(self, caller: Caller, topic_filter: str, *, qos: int = 0) -> str:
        self.calls.append(("watch", topic_filter, qos))
        return "w1"

    def recent(self, caller: Caller, topic: str, limit: int) -> Sequence[RecentMessage]:
        self.calls.append(("recent", topic, limit))
        return self.seen[:limit]


class BadTopicError(InvalidValueError):
    status = 400


class FakeRealtime(Realtime):
    """Yields what is put in by `tell`; `asked` is how it was called."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[LiveEvent] | DomainError] = asyncio.Queue()
        self.asked: dict[str, Any] = {}
        self.is_open = False

    def tell(self, cursor: int, device: Device) -> None:
        event = LiveEvent(cursor, "medical", device, "device.data.received", "t", {}, AT)
        event.text = f'{{"cursor":{cursor}}}'
        self.queue.put_nowait([event] if self.asked["matches"](event) else [])

    async def stream(
        self,
        caller: Caller,
        *,
        app: str,
        matches: Callable[[LiveEvent], bool],
        since: int | None = None,
    ) -> AsyncGenerator[list[LiveEvent], None]:
        self.asked = {"app": app, "matches": matches, "since": since}
        self.is_open = True
        try:
            yield []
            while True:
                events = await self.queue.get()
                if isinstance(events, DomainError):
                    raise events
                yield events
        finally:
            self.is_open = False


class FakeAudit(Audit):
    def __init__(self) -> None:
        self.records: list[tuple[str, str | None]] = []

    async def record(
        self,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None:
        self.records.append((action, subject))


class FakeHealth(Health):
    def __init__(self) -> None:
        self.connected = True

    def is_connected(self) -> bool:
        return self.connected

    async def components(self) -> Sequence[Component]:
        return [Component("database", "ok", 0.5, {"url": "sqlite"})]

    def metrics(self) -> bytes:
        return b"fleetwire_up 1\n"


class FakeHouse:
    """All services, and the app served by them."""

    def __init__(self, app: App) -> None:
        self.gate = FakeGate()
        self.devices = FakeDevices()
        self.telemetry = FakeTelemetry()
        self.commands = FakeCommands()
        self.messages = FakeMessages()
        self.realtime = FakeRealtime()
        self.audit = FakeAudit()
        self.health = FakeHealth()
        self.web = FastAPI()
        self.web.state.gate = self.gate
        self.web.state.services = {
            Devices: self.devices,
            Telemetry: self.telemetry,
            Commands: self.commands,
            Messages: self.messages,
            Realtime: self.realtime,
            Audit: self.audit,
            Health: self.health,
        }
        for router in app.routers:
            self.web.include_router(router)

        @self.web.exception_handler(DomainError)
        async def refuse(request: Request, error: DomainError) -> JSONResponse:
            return JSONResponse({"detail": error.message, "field": error.field}, error.status)
