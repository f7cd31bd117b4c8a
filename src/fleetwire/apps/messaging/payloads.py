"""Payloads: any JSON in, bytes on the wire, and back."""

from base64 import b64encode
from typing import Any

import msgspec

from fleetwire.kit import InvalidValueError

MAX_BYTES = 256 * 1024


def encoded(payload: Any) -> bytes:
    """Return the bytes of a payload: text as it is, all else as JSON. Raises InvalidValueError."""
    data = payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload)
    if len(data) > MAX_BYTES:
        raise InvalidValueError(
            f"The payload has {len(data)} bytes; {MAX_BYTES} are allowed", field="payload"
        )
    return data


def decoded(data: bytes) -> dict[str, Any]:
    """Return `payload`, and `encoding` where it is not said plainly.

    JSON is parsed; what is none is text; what is no text is base64.
    """
    try:
        return {"payload": msgspec.json.decode(data)}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return {"payload": data.decode()}
    except UnicodeDecodeError:
        return {"payload": b64encode(data).decode(), "encoding": "base64"}
