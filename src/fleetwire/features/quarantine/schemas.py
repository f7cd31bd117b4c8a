"""Refused messages as HTTP shows them."""

import base64
import codecs
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.quarantine.rerun import Outcome, RerunJob
from fleetwire.features.quarantine.search import RefusedMessage, Search
from fleetwire.features.quarantine.selection import MAX_IDS, Selection
from fleetwire.kit.instants import iso, parse


class RefusedMessageView(BaseModel):
    """A message that was not accepted. The payload is text where it is UTF-8, else base64."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "app": "medical",
                    "topic": "devices/bp-1/data",
                    "payload": '{"metric_type":',
                    "encoding": "utf-8",
                    "payload_bytes": 15,
                    "is_cut": False,
                    "qos": 1,
                    "client_id": "bp-1",
                    "identity": "device:medical/bp-1",
                    "reason_code": 153,
                    "reason": "The payload is not JSON: Input data was truncated",
                    "received_at": "2026-01-31T12:00:00.250Z",
                }
            ]
        }
    )

    id: int
    app: str | None
    topic: str
    payload: str
    encoding: Literal["utf-8", "base64"]
    payload_bytes: int
    is_cut: bool
    qos: int
    client_id: str
    identity: str
    reason_code: int
    reason: str
    received_at: str

    @classmethod
    def of(cls, message: RefusedMessage) -> "RefusedMessageView":
        """Return the view of a message."""
        is_cut = len(message.payload) < message.payload_bytes
        payload, encoding = _readable(message.payload, is_cut=is_cut)
        return cls(
            id=message.id,
            app=message.app,
            topic=message.topic,
            payload=payload,
            encoding=encoding,
            payload_bytes=message.payload_bytes,
            is_cut=is_cut,
            qos=message.qos,
            client_id=message.client_id,
            identity=message.identity,
            reason_code=message.reason_code,
            reason=message.reason,
            received_at=iso(message.received_at),
        )


class QuarantinePage(BaseModel):
    """One page of refused messages, newest first; their payloads are cut to a preview."""

    items: list[RefusedMessageView]
    next_cursor: str | None = None


def _readable(payload: bytes, *, is_cut: bool) -> tuple[str, Literal["utf-8", "base64"]]:
    # A cut may go through a character; what is left of it does not make the text binary.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(payload, final=not is_cut), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode(), "base64"


class Where(BaseModel):
    """A search: all that is given must be so; `{}` means every message there is now."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str | None, Field(max_length=256, description="occurs anywhere")] = None
    topic: Annotated[str | None, Field(max_length=1024, description="occurs in the topic")] = None
    filter: Annotated[str | None, Field(max_length=1024, description="a Topic Filter")] = None
    app: Annotated[str | None, Field(max_length=64)] = None
    device: Annotated[str | None, Field(max_length=128, description="its name")] = None
    reason: Annotated[str | None, Field(max_length=500, description="occurs in the reason")] = None
    start: Annotated[str | None, Field(alias="from", description="ISO 8601 or epoch")] = None
    end: Annotated[str | None, Field(alias="to", description="exclusive")] = None

    def search(self) -> Search:
        """Return it as the service takes it. Raises InvalidValueError for a wrong instant."""
        return Search(
            text=self.text,
            topic=self.topic,
            filter=self.filter,
            app=self.app,
            device=self.device,
            reason=self.reason,
            from_at=None if self.start is None else parse(self.start, "from"),
            to_at=None if self.end is None else parse(self.end, "to"),
        )


class SelectionRequest(BaseModel):
    """Which messages: by their `ids`, or `where` something is so."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"where": {"filter": "devices/+/data", "reason": "not registered"}}]
        },
    )

    ids: Annotated[
        list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Field(max_length=MAX_IDS)
    ] = []  # fmt: skip
    where: Where | None = None

    def selection(self) -> Selection:
        """Return it as the service takes it."""
        where = None if self.where is None else self.where.search()
        return Selection(tuple(self.ids), where)


class Discarded(BaseModel):
    """How many messages were removed for good."""

    discarded: int


class OutcomeView(BaseModel):
    """What would become of one message. `effects` are what its handler wishes to be true."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "topic": "devices/bp-1/data",
                    "result": "accepted",
                    "app": "medical",
                    "reason": None,
                    "effects": [
                        {
                            "effect": "reading",
                            "at": "2026-01-31T12:00:00.250Z",
                            "device": "medical/bp-1",
                            "flagged": False,
                            "metric": "heart_rate",
                            "unit": "/min",
                            "value": 72,
                        }
                    ],
                }
            ]
        }
    )

    id: int
    topic: str
    result: Literal["accepted", "refused", "cut", "gone"]
    app: str | None
    reason: str | None
    effects: list[dict[str, Any]]

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeView":
        """Return the view of an outcome."""
        return cls.model_validate(outcome, from_attributes=True)


class Rehearsal(BaseModel):
    """What would become of some of the messages, oldest first."""

    items: list[OutcomeView]
    next_cursor: str | None = None


class RerunView(BaseModel):
    """Messages on their way up the road once more.

    `refused` stay in quarantine with the new reason; `left_alone` were too long to be kept whole,
    or gone by then.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "8f14e45fceea167a",
                    "state": "running",
                    "started_at": "2026-01-31T12:00:00.250Z",
                    "ended_at": None,
                    "looked_at": 1200,
                    "accepted": 1190,
                    "refused": 10,
                    "left_alone": 0,
                    "error": None,
                }
            ]
        }
    )

    id: str
    state: Literal["waiting", "running", "done", "cancelled", "failed"]
    started_at: str
    ended_at: str | None
    looked_at: int
    accepted: int
    refused: int
    left_alone: int
    error: str | None

    @classmethod
    def of(cls, job: RerunJob) -> "RerunView":
        """Return the view of a job as it stands."""
        return cls.model_validate(
            {
                "id": job.id,
                "state": job.state,
                "started_at": iso(job.started_at),
                "ended_at": iso(job.ended_at) if job.ended_at else None,
                "looked_at": job.looked_at,
                "accepted": job.accepted,
                "refused": job.refused,
                "left_alone": job.left_alone,
                "error": job.error,
            }
        )


class RerunList(BaseModel):
    """The re-runs since the server was started, newest first."""

    items: list[RerunView]
