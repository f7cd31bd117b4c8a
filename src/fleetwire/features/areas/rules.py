"""What an area may be called, and how deep the tree may be."""

import json
from typing import Any, Final

from fleetwire.errors import InvalidValueError

MAX_NAME_CHARS: Final = 64
MAX_DEPTH: Final = 8  # site, building, floor, wing, room, bay, rack, slot
MAX_PATH_CHARS: Final = MAX_DEPTH * (MAX_NAME_CHARS + 1) - 1
MAX_AREAS: Final = 10_000  # of one organisation
MAX_ATTRIBUTES_BYTES: Final = 16 * 1024
SEPARATOR: Final = "/"


def check_name(name: str, field: str = "name") -> None:
    """Raise InvalidValueError unless this can be one step of a path."""
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable() or name != name.strip():
        raise InvalidValueError(
            f"the name of an area must be printable text of 1 to {MAX_NAME_CHARS} characters "
            "without blanks around it",
            field=field,
        )
    if SEPARATOR in name:
        raise InvalidValueError("the name of an area must not contain /", field=field)


def names_in(path: str, field: str = "area") -> list[str]:
    """Return the names of a path from the top down. Raises InvalidValueError."""
    names = path.split(SEPARATOR)
    if len(names) > MAX_DEPTH:
        raise InvalidValueError(f"areas are not deeper than {MAX_DEPTH}", field=field)
    for name in names:
        check_name(name, field)
    return names


def is_within(path: str, other: str) -> bool:
    """Say whether the area of `path` is the other one, or below it."""
    return path == other or path.startswith(other + SEPARATOR)


def check_attributes(attributes: dict[str, Any]) -> None:
    """Raise InvalidValueError unless the attributes are plain JSON of bounded size."""
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
