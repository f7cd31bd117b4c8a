"""AreaService: the tree of areas of each organisation.

Every change is one transaction on the one writer, so no two of them can make a cycle together.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.areas import repository
from fleetwire.features.areas.rules import (
    MAX_AREAS,
    MAX_DEPTH,
    check_attributes,
    check_name,
    is_within,
    names_in,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.areas import Area, Areas
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.store.database import Database, Transaction

READ = "device.read"
WRITE = "device.write"
MAX_SEARCH_CHARS = 200


class AreaService(Areas):
    """Makes, shows, renames, moves and removes areas.

    `moved` is told, after the commit, the organisation whose devices' paths may have changed.
    """

    def __init__(
        self,
        db: Database,
        audit: Audit,
        moved: Callable[[int], None] = lambda organization_id: None,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._audit = audit
        self._moved = moved
        self._clock = clock

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
        caller.require(READ)
        check_limit(limit)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda connection: repository.list_areas(
                connection,
                organization_id=caller.organization_id,
                parent_id=parent_id,
                under=under,
                search=search,
                after_id=after_id,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def get(self, caller: Caller, area_id: int) -> Area:
        """Return an area. Raises NotFoundError, also for another organisation's."""
        caller.require(READ)
        return await self._db.read(lambda connection: _find(connection, caller, area_id))

    async def find(self, caller: Caller, path: str) -> Area | None:
        caller.require(READ)
        return await self._db.read(
            lambda connection: repository.find_path(connection, caller.organization_id, path)
        )

    async def create(
        self,
        caller: Caller,
        name: str,
        *,
        parent_id: int | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> Area:
        """Add an area. Raises ConflictError if the name is taken, TooManyError at MAX_AREAS."""
        caller.require(WRITE)
        check_name(name)
        given = {key: value for key, value in (attributes or {}).items() if value is not None}
        check_attributes(given)

        def work(tx: Transaction) -> Area:
            parent = _parent(tx, caller, parent_id)
            path = repository.path_of(parent, name)
            _check_depth(path)
            _check_free(tx, caller, path)
            return self._insert(tx, caller, parent, name, given)

        area = await self._db.write(work)
        await self._audit.record(caller, "area.created", subject_of(area))
        return area

    async def ensure(self, caller: Caller, path: str) -> Area:
        """Return the area of this path; what is missing of it is made, all or nothing."""
        caller.require(WRITE)
        names = names_in(path)

        def work(tx: Transaction) -> tuple[Area, list[Area]]:
            made: list[Area] = []
            area: Area | None = None
            for name in names:
                here = repository.path_of(area, name)
                found = repository.find_path(tx.connection, caller.organization_id, here)
                if found is None:
                    found = self._insert(tx, caller, area, name, {})
                    made.append(found)
                area = found
            assert area is not None
            return area, made

        area, made = await self._db.write(work)
        for each in made:
            await self._audit.record(caller, "area.created", subject_of(each))
        return area

    def _insert(
        self,
        tx: Transaction,
        caller: Caller,
        parent: Area | None,
        name: str,
        attributes: dict[str, Any],
    ) -> Area:
        if repository.count_areas(tx.connection, caller.organization_id) >= MAX_AREAS:
            raise TooManyError(f"There are {MAX_AREAS} areas, which is the most.")
        return repository.insert_area(
            tx,
            organization_id=caller.organization_id,
            parent=parent,
            name=name,
            attributes=attributes,
            at=self._clock(),
        )

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

        Raises ConflictError if the name is taken there, or if the area would stand in itself.
        """
        caller.require(WRITE)
        if name is not None:
            check_name(name)

        def work(tx: Transaction) -> tuple[Area, str]:
            area = _find(tx.connection, caller, area_id)
            expects(area)
            before = area.path
            changes: dict[str, Any] = {"updated_at": self._clock()}
            if attributes is not None:
                merged = area.attributes | attributes
                changes["attributes"] = {k: v for k, v in merged.items() if v is not None}
                check_attributes(changes["attributes"])
            if name is not None or parent_id is not None:
                changes |= self._move(tx, caller, area, name or area.name, parent_id)
            repository.update_area(tx, area.id, changes)
            parent = changes.pop("parent", area.parent_id)
            changes.pop("depth", None)
            return msgspec.structs.replace(area, parent_id=parent, **changes), before

        area, before = await self._db.write(work)
        given = {"name": name, "parent_id": parent_id, "attributes": attributes}
        detail: dict[str, Any] = {"fields": sorted(k for k, v in given.items() if v is not None)}
        if area.path != before:
            detail["before"] = before
        await self._audit.record(caller, "area.changed", subject_of(area), detail=detail)
        return area

    def _move(
        self, tx: Transaction, caller: Caller, area: Area, name: str, parent_id: int | None
    ) -> dict[str, Any]:
        """Give what is below its new paths; return the columns that change of the area itself."""
        parent = _parent(tx, caller, area.parent_id if parent_id is None else parent_id)
        if parent is not None and is_within(parent.path, area.path):
            raise ConflictError("An area cannot stand in itself.", field="parent_id")
        path = repository.path_of(parent, name)
        if path == area.path:
            return {}
        _check_free(tx, caller, path)
        below = repository.below(tx.connection, caller.organization_id, area.path)
        moved = [(id, path + each[len(area.path) :]) for id, each in below]
        for each in (path, *(each for _, each in moved)):
            _check_depth(each)
        repository.rewrite_paths(tx, moved)
        tx.after_commit(lambda: self._moved(caller.organization_id))
        return {
            "name": name,
            "parent": None if parent is None else parent.id,
            "path": path,
            "depth": repository.depth_of(path),
        }

    async def delete(self, caller: Caller, area_id: int) -> None:
        """Remove an area. Raises ConflictError, with how many, while it holds areas or devices."""
        caller.require(WRITE)

        def work(tx: Transaction) -> Area:
            area = _find(tx.connection, caller, area_id)
            areas = repository.count_below(tx.connection, area.id)
            if areas or area.device_count:
                raise ConflictError(
                    f"The area {area.path!r} holds {_counted(areas, 'area')} and "
                    f"{_counted(area.device_count, 'device')}: move them first."
                )
            repository.delete_area(tx, area.id)
            return area

        area = await self._db.write(work)
        await self._audit.record(caller, "area.deleted", subject_of(area))


def subject_of(area: Area) -> str:
    """Return how the audit calls an area."""
    return f"area:{area.id}"


def _find(connection: Any, caller: Caller, area_id: int) -> Area:
    area = repository.find_area(connection, caller.organization_id, area_id)
    if area is None:
        raise NotFoundError(f"There is no area {area_id}.")
    return area


def _parent(tx: Transaction, caller: Caller, parent_id: int | None) -> Area | None:
    """Return the area to stand in, None for the top. Raises InvalidValueError."""
    if not parent_id:
        return None
    parent = repository.find_area(tx.connection, caller.organization_id, parent_id)
    if parent is None:
        raise InvalidValueError(f"There is no area {parent_id}.", field="parent_id")
    return parent


def _check_free(tx: Transaction, caller: Caller, path: str) -> None:
    if repository.find_path(tx.connection, caller.organization_id, path) is not None:
        raise ConflictError(f"There is an area {path!r} already.", field="name")


def _check_depth(path: str) -> None:
    if repository.depth_of(path) > MAX_DEPTH:
        raise InvalidValueError(f"areas are not deeper than {MAX_DEPTH}", field="parent_id")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
