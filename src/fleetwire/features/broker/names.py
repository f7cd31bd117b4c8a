"""Pages of what is in memory under a name, in the order of the names."""

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable

from fleetwire.errors import InvalidValueError
from fleetwire.kit.services import Page

EXAMINED_MOST = 5_000  # for one page: who may see a name costs more than to find it


def page_of(
    names: Iterable[str], may_see: Callable[[str], bool], limit: int, cursor: str | None
) -> Page[str]:
    """Return up to `limit` names in order, those behind the cursor that may be seen.

    A page can have fewer, even none, and yet a next one: no more than EXAMINED_MOST names are
    judged for one page. Raises InvalidValueError for a cursor that is not ours.
    """
    after = "" if cursor is None else _decode(cursor)
    names = list(names)
    found: list[str] = []
    examined = 0
    size = limit + 1  # enough where all may be seen; if not, ever more are looked at
    while examined < EXAMINED_MOST:
        size = min(size, EXAMINED_MOST - examined)
        behind = after
        candidates = heapq.nsmallest(size, (name for name in names if name > behind))
        for name in candidates:
            if len(found) == limit:
                return Page(found, _encode(after))
            after = name
            if may_see(name):
                found.append(name)
        if len(candidates) < size:
            return Page(found)
        examined += size
        size *= 8
    return Page(found, _encode(after))


def _encode(name: str) -> str:
    return urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def _decode(cursor: str) -> str:
    try:
        return urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except ValueError:  # binascii's and unicode's are such, too
        raise InvalidValueError(
            "cursor is not the next_cursor of a page of this list", field="cursor"
        ) from None
