"""The broker as HTTP shows it."""

import base64
import codecs
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.broker.records import (
    ClientDetail,
    ClientRecord,
    Count,
    RetainedRecord,
    SubscriptionRecord,
    Summary,
)
from fleetwire.kit.instants import iso


class QueueView(BaseModel):
    """What waits for the client."""

    messages: int
    bytes: int


class ClientView(BaseModel):
    """A client: its session, and its connection where there is one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "client_id": "bp-1",
                    "identity": "device:medical/bp-1",
                    "device": "medical/bp-1",
                    "connected": True,
                    "protocol": "5.0",
                    "remote": "192.0.2.7:51234",
                    "listener": "tls",
                    "connected_since": "2026-01-31T12:00:00.250Z",
                    "disconnected_since": None,
                    "keep_alive_s": 60,
                    "session_expiry_s": 3600,
                    "subscriptions": 1,
                    "inflight": 0,
                    "queue": {"messages": 0, "bytes": 0},
                }
            ]
        }
    )

    client_id: str
    identity: str
    device: str | None = Field(description="app/device_id, if it is a device")
    connected: bool
    protocol: str | None
    remote: str | None
    listener: str | None
    connected_since: str | None
    disconnected_since: str | None
    keep_alive_s: int | None = Field(description="0 = none")
    session_expiry_s: int = Field(description="0 = the session ends with its connection")
    subscriptions: int
    inflight: int = Field(description="messages sent to it and not acknowledged")
    queue: QueueView

    @classmethod
    def of(cls, record: ClientRecord) -> "ClientView":
        """Return the view of a client."""
        return cls(
            client_id=record.client_id,
            identity=record.identity,
            device=record.device,
            connected=record.connected,
            protocol=record.protocol,
            remote=record.remote,
            listener=record.listener,
            connected_since=_iso(record.connected_at),
            disconnected_since=_iso(record.disconnected_at),
            keep_alive_s=record.keep_alive_s,
            session_expiry_s=record.session_expiry_s,
            subscriptions=record.subscriptions,
            inflight=record.inflight,
            queue=QueueView(messages=record.queued, bytes=record.queued_bytes),
        )


class ClientPage(BaseModel):
    """One page of clients in the order of their ids."""

    items: list[ClientView]
    next_cursor: str | None = None


class SubscriptionView(BaseModel):
    """One subscription with its options."""

    topic_filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int = Field(description="retained messages: 0 always, 1 if new, 2 never")
    identifier: int = Field(description="0 = none")

    @classmethod
    def of(cls, record: SubscriptionRecord) -> "SubscriptionView":
        """Return the view of a subscription."""
        return cls(**msgspec.structs.asdict(record))


class TrafficView(BaseModel):
    """Messages since the session began; bytes since the connection did, null without one."""

    messages_received: int
    messages_sent: int
    bytes_received: int | None
    bytes_sent: int | None


class ClientDetailView(BaseModel):
    """All that is known of a client."""

    client: ClientView
    subscriptions: list[SubscriptionView]
    traffic: TrafficView
    window: int = Field(description="messages that may be in flight to it")
    maximum_packet_size: int = Field(description="bytes it takes, 0 = any")
    receiving: int = Field(description="QoS 2 messages from it, not finished")
    will_topic: str | None

    @classmethod
    def of(cls, record: ClientDetail) -> "ClientDetailView":
        """Return the view of a client."""
        return cls(
            client=ClientView.of(record),
            subscriptions=[SubscriptionView.of(each) for each in record.subscription_list],
            traffic=TrafficView(
                messages_received=record.messages_received,
                messages_sent=record.messages_sent,
                bytes_received=record.bytes_received,
                bytes_sent=record.bytes_sent,
            ),
            window=record.window,
            maximum_packet_size=record.maximum_packet_size,
            receiving=record.receiving,
            will_topic=record.will_topic,
        )


class RetainedView(BaseModel):
    """A retained message. The payload is text where it is UTF-8, else base64."""

    topic: str
    payload: str
    encoding: Literal["utf-8", "base64"]
    payload_bytes: int
    is_cut: bool
    qos: int
    expires_at: str | None

    @classmethod
    def of(cls, record: RetainedRecord) -> "RetainedView":
        """Return the view of a retained message."""
        is_cut = len(record.payload) < record.payload_bytes
        payload, encoding = _readable(record.payload, is_cut=is_cut)
        return cls(
            topic=record.topic,
            payload=payload,
            encoding=encoding,
            payload_bytes=record.payload_bytes,
            is_cut=is_cut,
            qos=record.qos,
            expires_at=_iso(record.expires_at),
        )


class RetainedPage(BaseModel):
    """One page of retained messages in the order of their topics; payloads are cut."""

    items: list[RetainedView]
    next_cursor: str | None = None


class CountView(BaseModel):
    """How often something has happened since the start, for one reason."""

    what: str = Field(examples=["message dropped"])
    reason: str = Field(examples=["the client's queue is full"])
    count: int

    @classmethod
    def of(cls, record: Count) -> "CountView":
        """Return the view of a count."""
        return cls(**msgspec.structs.asdict(record))


class CountersView(BaseModel):
    """All counts by reason."""

    items: list[CountView]


class SummaryView(BaseModel):
    """The broker as a whole, everybody's clients counted."""

    version: str
    uptime_s: int
    clients_connected: int
    clients_disconnected: int
    connections: int = Field(description="with those that have not said CONNECT yet")
    subscriptions: int
    retained_messages: int
    inflight_messages: int
    queued_messages: int
    messages_received: int
    messages_sent: int
    messages_dropped: int
    messages_refused: int
    messages_expired: int
    bytes_received: int
    bytes_sent: int
    connections_accepted: int
    connections_refused: int
    takeovers: int
    is_held: bool = Field(description="the database cannot keep up: nobody is read from")

    @classmethod
    def of(cls, record: Summary) -> "SummaryView":
        """Return the view of the broker."""
        return cls(**msgspec.structs.asdict(record))


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _readable(payload: bytes, *, is_cut: bool) -> tuple[str, Literal["utf-8", "base64"]]:
    # A cut may go through a character; what is left of it does not make the text binary.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(payload, final=not is_cut), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode(), "base64"
