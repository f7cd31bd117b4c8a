"""Pages of long lists: the opaque cursor between them, and how long one may be."""

import binascii
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode

from fleetwire.errors import InvalidValueError

MAX_LIMIT = 1000


def encode_cursor(*keys: int) -> str:
    """Return a cursor that stands behind the row with these sort keys."""
    return urlsafe_b64encode(struct.pack(f">{len(keys)}q", *keys)).rstrip(b"=").decode()


def decode_cursor(cursor: str, keys: int) -> tuple[int, ...]:
    """Return the sort keys of a cursor. Raises InvalidValueError if it is not one of ours."""
    try:
        data = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        return struct.unpack(f">{keys}q", data)
    except (ValueError, binascii.Error, struct.error):
        raise InvalidValueError(
            "cursor is not the next_cursor of a page of this list", field="cursor"
        ) from None


def check_limit(limit: int) -> int:
    """Return the limit. Raises InvalidValueError unless it is 1 to MAX_LIMIT."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidValueError(f"limit must be 1 to {MAX_LIMIT}", field="limit")
    return limit
