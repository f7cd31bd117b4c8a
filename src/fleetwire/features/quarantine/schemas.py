"""Refused messages as HTTP shows them."""

import base64
import codecs
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fleetwire.features.quarantine.service import RefusedMessage
from fleetwire.kit.instants import iso


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
