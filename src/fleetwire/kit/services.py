"""The services an app is given, by interface. `features` implements them, tests may fake them.

Every call that acts for somebody takes the `Caller`, and sees his organisation only: what belongs
to another is NotFoundError. Instants are microseconds since 1970-01-01 UTC.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from fleetwire.errors import ForbiddenError
from fleetwire.kit.device import Device

T = TypeVar("T")


class Caller(msgspec.Struct, frozen=True):
    """Who asks: a signed-in person, or the house itself (`Caller.system()`)."""

    actor: str  # account:17, system
    organization_id: int
    permissions: frozenset[str]
    account_id: int = 0
    email: str = ""
    username: str = ""
    role: str = ""
    remote: str = ""  # address the request came from

    def require(self, permission: str) -> None:
        """Raise ForbiddenError unless the caller has this permission, such as `device.write`."""
        if permission not in self.permissions:
            raise ForbiddenError(
                f"This needs the permission {permission!r}, which you do not have."
            )


class Page(msgspec.Struct, Generic[T]):
    """One page of a longer list; `next_cursor` None = this was the last."""

    items: list[T]
    next_cursor: str | None = None


class DeviceRecord(msgspec.Struct):
    """A device as stored, with what it reported and whether it is there."""

    id: int
    app: str
    device_id: str
    organization_id: int
    type: str
    name: str | None
    attributes: dict[str, Any]
    status: str
    reported: dict[str, Any]
    connected: bool
    connected_reason: str | None
    connected_since_at: int | None
    last_seen_at: int | None
    created_at: int
    updated_at: int
    tags: tuple[str, ...] = ()  # in order


class Credential(msgspec.Struct):
    """MQTT credentials, given out once: the token is stored as a hash only."""

    id: int
    username: str
    password: str
    expires_at: int | None


class CredentialRecord(msgspec.Struct):
    """What is known of a credential after it was given out.

    `kind` is "token" or "certificate"; the fingerprint is a certificate's, SHA-256 in hexadecimal.
    """

    id: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    created_at: int
    kind: str = "token"
    fingerprint: str | None = None


class Devices(ABC):
    """The registry."""

    @abstractmethod
    def find(self, app: str, device_id: str) -> Device | None:
        """Return the device from memory, or None; for handlers and authorisation."""

    @abstractmethod
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
        tags: Iterable[str] = (),
    ) -> tuple[DeviceRecord, Credential]:
        """Register a device and its first credential. Raises ConflictError if the id is taken."""

    @abstractmethod
    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord: ...

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        app: str | None,
        *,
        attributes: dict[str, str] | None = None,
        search: str | None = None,
        query: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceRecord]: ...

    @abstractmethod
    async def update(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        name: str | None = None,
        type: str | None = None,
        attributes: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        expects: Callable[[DeviceRecord], None] = lambda device: None,
    ) -> DeviceRecord:
        """Change what is given; `attributes` are merged, a None inside removes that attribute;
        `tags` are all of them from now on.

        `expects` is called with the device as it is, within the transaction, and may raise.
        """

    @abstractmethod
    async def delete(self, caller: Caller, app: str, device_id: str) -> None:
        """Remove the device; its credentials are revoked, its live connections closed."""

    @abstractmethod
    async def issue_credential(
        self, caller: Caller, app: str, device_id: str, *, expires_at: int | None = None
    ) -> Credential: ...

    @abstractmethod
    async def credentials(
        self, caller: Caller, app: str, device_id: str
    ) -> Sequence[CredentialRecord]: ...

    @abstractmethod
    async def revoke_credential(
        self, caller: Caller, app: str, device_id: str, credential_id: int
    ) -> None: ...


class StoredReading(msgspec.Struct):
    """One stored value. `source` is the message as sent, if it was kept."""

    id: int
    metric: str
    value: Any
    unit: str
    at: int
    received_at: int
    flagged: bool
    source: str | None


class Bucket(msgspec.Struct):
    """The numbers of one metric within [at, at + width)."""

    at: int
    metric: str
    unit: str
    count: int
    min: float
    max: float
    avg: float


class Telemetry(ABC):
    """Stored readings."""

    @abstractmethod
    async def query(
        self,
        caller: Caller,
        device: DeviceRecord,
        *,
        metric: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StoredReading]:
        """Return readings newest first; `metric` "blood_pressure" also finds its named values."""

    @abstractmethod
    async def latest(self, caller: Caller, device: DeviceRecord) -> Sequence[StoredReading]:
        """Return the newest reading of each metric."""

    @abstractmethod
    async def buckets(
        self,
        caller: Caller,
        device: DeviceRecord,
        *,
        bucket_us: int,
        metric: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 1000,
    ) -> Sequence[Bucket]:
        """Return min, max, avg and count per metric and bucket, oldest first."""


class CommandEvent(msgspec.Struct):
    """One line of a command's timeline."""

    state: str
    reason: str | None
    at: int


class CommandRecord(msgspec.Struct):
    """A command and what became of it."""

    id: str
    device_id: str
    name: str
    parameters: dict[str, Any]
    # queued | sent | delivered | accepted | in_progress | succeeded | failed | rejected | expired |
    # cancelled | superseded
    state: str
    reason: str | None
    result: Any
    attempts: int
    created_at: int
    expires_at: int
    updated_at: int
    timeline: list[CommandEvent]


class Commands(ABC):
    """The ledger of commands."""

    @abstractmethod
    async def send(
        self,
        caller: Caller,
        device: DeviceRecord,
        name: str,
        parameters: dict[str, Any],
        *,
        payload: bytes | None = None,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandRecord:
        """Store a command as queued; it is published when the device is there.

        `payload` are the bytes the device reads; None = as the app's `command_payload` makes them.
        A repeated `idempotency_key` returns the first command and sends nothing; for another
        command it is a ConflictError. Of a device's `lane` one command is under way at a time, and
        `supersede` gives up those that still wait in it. `retry`: send it again where it is unknown
        whether the device has it; None = unless it has an idempotency key.
        """

    @abstractmethod
    async def wait(self, command_id: str, timeout_s: float) -> CommandRecord:
        """Return the command once nothing more is known to come of it, or when time is up."""

    @abstractmethod
    async def get(self, caller: Caller, command_id: str) -> CommandRecord: ...

    @abstractmethod
    async def list(
        self, caller: Caller, device: DeviceRecord, *, limit: int = 50, cursor: str | None = None
    ) -> Page[CommandRecord]: ...

    @abstractmethod
    async def cancel(self, caller: Caller, command_id: str) -> CommandRecord: ...


class CommandBatch(msgspec.Struct):
    """One command to many devices. `waiting` are devices that do not have theirs yet."""

    id: str
    app: str
    name: str
    parameters: dict[str, Any]
    total: int
    states: dict[str, int]  # how many commands stand in which state
    waiting: int
    refused_count: int
    refused: list[tuple[str, str]]  # device_id and why, the first of them
    created_at: int
    spread_at: int | None


class CommandBatches(ABC):
    """One command to many devices."""

    @abstractmethod
    async def send(
        self,
        caller: Caller,
        app: str,
        device_ids: Sequence[str],
        name: str,
        parameters: dict[str, Any],
        *,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandBatch:
        """Store a batch; each device is given a command of its own within moments."""

    @abstractmethod
    async def get(self, caller: Caller, batch_id: str) -> CommandBatch:
        """Return how far a batch has come."""


class RecentMessage(msgspec.Struct):
    """A message seen on a watched topic."""

    topic: str
    payload: bytes
    qos: int
    received_at: int


class Messages(ABC):
    """Plain MQTT for people: publish, watch a topic filter, read what was seen."""

    @abstractmethod
    async def publish(
        self, caller: Caller, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> str:
        """Publish and return an id for the message. Raises InvalidValueError for a bad topic."""

    @abstractmethod
    async def watch(self, caller: Caller, topic_filter: str, *, qos: int = 0) -> str:
        """Start keeping the latest messages that match, in memory; return the watch's id."""

    @abstractmethod
    def recent(self, caller: Caller, topic: str, limit: int) -> Sequence[RecentMessage]:
        """Return the latest messages seen on a topic or filter, newest first."""


class LiveEvent:
    """A committed event: `cursor` orders all of them.

    `text` and `frame` are its two encodings, as an app's own channels and as the platform's send
    it; each is made once for every reader.
    """

    __slots__ = (
        "app",
        "body",
        "cursor",
        "device",
        "frame",
        "name",
        "received_at",
        "text",
        "topic",
    )

    def __init__(
        self,
        cursor: int,
        app: str,
        device: Device,
        name: str,
        topic: str,
        body: dict[str, Any],
        received_at: int,
    ) -> None:
        self.cursor = cursor
        self.app = app
        self.device = device
        self.name = name
        self.topic = topic
        self.body = body
        self.received_at = received_at
        self.text: str | None = None
        self.frame: str | None = None


class Realtime(ABC):
    """Committed events, live and by cursor."""

    @abstractmethod
    def stream(
        self,
        caller: Caller,
        *,
        app: str,
        matches: Callable[[LiveEvent], bool],
        since: int | None = None,
    ) -> AsyncGenerator[list[LiveEvent], None]:
        """Yield committed events of the caller's organisation in commit order, without a gap.

        The first list is empty and comes at once: from then on nothing is missed. With `since`,
        stored events after that cursor come next. A reader that falls behind is served from the
        store until it has caught up; it never stalls others. Each event's `text` is encoded.
        Raises UnauthenticatedError within a second of a change of what the caller may do: he signs
        in again and goes on with `since`. Close the generator (`contextlib.aclosing`) when done.
        """


class Audit(ABC):
    """Who did what."""

    @abstractmethod
    async def record(
        self,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None: ...


class Component(msgspec.Struct):
    """The state of one part of the house. `latency_ms` is what asking it took."""

    name: str
    status: str  # ok | degraded | down
    latency_ms: float
    detail: dict[str, Any]


class Health(ABC):
    """How the house is."""

    @abstractmethod
    def is_connected(self) -> bool:
        """Say whether broker and store both take messages."""

    @abstractmethod
    async def components(self) -> Sequence[Component]:
        """Return database, broker, ingest and version, each with status and latency."""

    @abstractmethod
    def metrics(self) -> bytes:
        """Return the Prometheus text exposition."""
