"""How a reading's value becomes columns, and columns become the value again.

A number is stored as a double. A whole number too large for one keeps its digits as JSON text, so
nothing is rounded. Text and JSON are told apart in the unique index by a digest of their text.
"""

import json
from hashlib import blake2b
from typing import Any, Final

from fleetwire.errors import InvalidValueError

KIND_NUMBER: Final = 0
KIND_BOOL: Final = 1
KIND_TEXT: Final = 2
KIND_JSON: Final = 3

FLAG_OUT_OF_RANGE: Final = 1

DIGEST_NUMBER: Final = 0
DIGEST_BOOL: Final = 1

EXACT: Final = 2**53  # up to here every whole number is a double of its own

_INFINITY: Final = float("inf")


def encode_value(value: Any) -> tuple[int, float, int, str | None]:
    """Return (kind, number, digest, text) of a value, as the columns of `readings` hold them.

    Raises InvalidValueError for NaN, the infinities, null, and what JSON has no form for.
    """
    kind = type(value)
    if kind is float:
        if -_INFINITY < value < _INFINITY:  # also false for NaN
            return KIND_NUMBER, value, DIGEST_NUMBER, None
        raise InvalidValueError("A value must be finite: not NaN or an infinity.", field="value")
    if kind is int and -EXACT <= value <= EXACT:
        return KIND_NUMBER, float(value), DIGEST_NUMBER, None
    if kind is bool:
        return KIND_BOOL, 1.0 if value else 0.0, DIGEST_BOOL, None
    if kind is str:
        return KIND_TEXT, 0.0, _digest(KIND_TEXT, value), value
    if value is None:
        raise InvalidValueError("A value must not be null.", field="value")
    try:
        # Keys in order: the same structure sent again must have the same digest.
        text = json.dumps(
            value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"A value has no form in JSON: {error}", field="value") from None
    return KIND_JSON, 0.0, _digest(KIND_JSON, text), text


def decode_value(kind: int, number: float, text: str | None) -> Any:
    """Return the value that `encode_value` was given; a number without a fraction is an int."""
    if kind == KIND_NUMBER:
        return int(number) if number.is_integer() and -EXACT <= number <= EXACT else number
    if kind == KIND_BOOL:
        return number != 0.0
    if kind == KIND_TEXT:
        return text
    return json.loads(text or "null")


def _digest(kind: int, text: str) -> int:
    """Return 64 bits that differ for different texts, as the signed integer databases hold."""
    try:
        data = b"%d%s" % (kind, text.encode())
    except UnicodeEncodeError:
        raise InvalidValueError("Text must be valid Unicode.", field="value") from None
    digest = int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)
    return digest if digest not in (DIGEST_NUMBER, DIGEST_BOOL) else digest + 2
