"""What a device may be called and may carry."""

import json
import re
from collections.abc import Iterable
from typing import Any

from fleetwire.errors import InvalidValueError

MAX_ID_CHARS = 128
MAX_TYPE_CHARS = 64
MAX_NAME_CHARS = 200
MAX_STATUS_CHARS = 32
MAX_TAGS = 32
MAX_TAG_CHARS = 64
MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_ATTRIBUTE_NAME_CHARS = 64

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


def check_device_id(device_id: str) -> None:
    """Raise InvalidValueError unless this can stand as one level of a topic, and be a user name."""
    if not 1 <= len(device_id) <= MAX_ID_CHARS:
        raise InvalidValueError(
            f"device_id must have 1 to {MAX_ID_CHARS} characters", field="device_id"
        )
    if set(device_id) & set("/+#{}"):
        raise InvalidValueError(
            "device_id stands in topics: it must not contain / + # { or }", field="device_id"
        )
    if device_id.startswith("$"):
        raise InvalidValueError("device_id must not begin with $", field="device_id")
    if not device_id.isprintable():
        raise InvalidValueError("device_id must not contain control characters", field="device_id")


def clean_fingerprint(fingerprint: str) -> str:
    """Return a SHA-256 fingerprint as 64 lower-case digits; colons between them may be there.

    Raises InvalidValueError.
    """
    digits = fingerprint.strip().replace(":", "").lower()
    if _FINGERPRINT.fullmatch(digits) is None:
        raise InvalidValueError(
            "fingerprint must be the SHA-256 of the certificate, 64 hexadecimal digits",
            field="fingerprint",
        )
    return digits


def check_text(text: str, field: str, max_chars: int) -> None:
    """Raise InvalidValueError unless this is printable text of 1 to max_chars characters."""
    if not 1 <= len(text) <= max_chars or not text.isprintable():
        raise InvalidValueError(
            f"{field} must be printable text of 1 to {max_chars} characters", field=field
        )


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the tags in order, each once. Raises InvalidValueError."""
    found = sorted(set(tags))
    if len(found) > MAX_TAGS:
        raise InvalidValueError(f"there must not be more than {MAX_TAGS} tags", field="tags")
    for tag in found:
        if len(tag) > MAX_TAG_CHARS or _TAG.fullmatch(tag) is None:
            raise InvalidValueError(
                f"The tag {tag[:MAX_TAG_CHARS]!r} must have 1 to {MAX_TAG_CHARS} letters, digits "
                "or _ . -",
                field="tags",
            )
    return tuple(found)


def check_attributes(attributes: dict[str, Any]) -> None:
    """Raise InvalidValueError unless the attributes are plain JSON of bounded size."""
    for name in attributes:
        check_attribute_name(name)
    try:
        text = json.dumps(attributes, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"attributes have no form in JSON: {error}", field="attributes"
        ) from None
    if len(text) > MAX_ATTRIBUTES_BYTES:
        raise InvalidValueError(
            f"attributes must not be larger than {MAX_ATTRIBUTES_BYTES} bytes as JSON",
            field="attributes",
        )


def is_attribute_name(name: str) -> bool:
    """Say whether this can name an attribute."""
    return len(name) <= MAX_ATTRIBUTE_NAME_CHARS and _ATTRIBUTE_NAME.fullmatch(name) is not None


def check_attribute_name(name: str) -> None:
    """Raise InvalidValueError unless this can name an attribute, also in a query."""
    if not is_attribute_name(name):
        raise InvalidValueError(
            f"The attribute name {name[:MAX_ATTRIBUTE_NAME_CHARS]!r} must have 1 to "
            f"{MAX_ATTRIBUTE_NAME_CHARS} letters, digits or _ . -",
            field="attributes",
        )
