"""Page: a part of a longer list."""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a longer list; `next_cursor` None = this was the last."""

    items: list[T]
    next_cursor: str | None = None
