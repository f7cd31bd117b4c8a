"""Areas: where devices stand, as a tree for each organisation."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.paging import Page


class Area(msgspec.Struct):
    """One place of the tree. `path` is the names from the top down: `Clinic/Floor 2/Ward 3`."""

    id: int
    parent_id: int | None
    name: str
    path: str
    attributes: dict[str, Any]
    device_count: int  # in the area itself, not below
    created_at: int
    updated_at: int


class Areas(ABC):
    """The tree of the caller's organisation. Devices are put into areas by `Devices.update`."""

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        *,
        parent_id: int | None = None,
        under: str | None = None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Area]:
        """Return areas in the order they were made.

        `parent_id` are those directly below it, 0 those at the top; `under` is a path: that area
        and all below; `search` must occur in the name.
        """

    @abstractmethod
    async def get(self, caller: Caller, area_id: int) -> Area: ...

    @abstractmethod
    async def find(self, caller: Caller, path: str) -> Area | None:
        """Return the area of this path."""

    @abstractmethod
    async def create(
        self,
        caller: Caller,
        name: str,
        *,
        parent_id: int | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> Area:
        """Add an area. Raises ConflictError if its parent has one of this name."""

    @abstractmethod
    async def ensure(self, caller: Caller, path: str) -> Area:
        """Return the area of this path; what is missing of it is made."""

    @abstractmethod
    async def update(
        self,
        caller: Caller,
        area_id: int,
        *,
        name: str | None = None,
        parent_id: int | None = None,
        attributes: dict[str, Any] | None = None,
        expects: Callable[[Area], None] = lambda area: None,
    ) -> Area:
        """Rename, move or describe an area; what is below comes along.

        `parent_id` 0 moves it to the top; `attributes` are merged, a None inside removes that one.
        `expects` is called with the area as it is, within the transaction, and may raise.
        """

    @abstractmethod
    async def delete(self, caller: Caller, area_id: int) -> None:
        """Remove an area. Raises ConflictError while it holds areas or devices."""
