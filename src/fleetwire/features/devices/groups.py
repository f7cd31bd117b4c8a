"""Groups: names for queries. Who belongs to a group is whom its query means at that moment."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.devices.matching import condition
from fleetwire.features.devices.query import parse
from fleetwire.features.devices.tables import device_groups, devices
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Audit, Caller, DeviceRecord, Devices, Page
from fleetwire.store.database import Database, Transaction

READ: Final = "device.read"
WRITE: Final = "device.write"

MAX_GROUPS: Final = 1000  # of one organisation
MAX_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 200
MAX_SEARCH_CHARS: Final = 200

_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


class Group(msgspec.Struct):
    """A named query, of one organisation."""

    id: int
    name: str
    description: str
    query: str
    created_at: int
    updated_at: int


_columns = tuple(device_groups.c[name] for name in Group.__struct_fields__)


class Groups:
    """Makes, shows, changes and removes groups. `devices` answers their queries.

    `touched` is told of the organisation and the name of a group that means others from now on.
    """

    def __init__(
        self,
        db: Database,
        devices: Devices,
        audit: Audit,
        clock: Callable[[], int] = instants.now,
        touched: Callable[[int, str], None] = lambda organization_id, name: None,
    ) -> None:
        self._db = db
        self._devices = devices
        self._audit = audit
        self._clock = clock
        self._touched = touched

    async def create(self, caller: Caller, name: str, query: str, description: str = "") -> Group:
        """Store a group. Raises ConflictError if the name is taken, TooManyError at MAX_GROUPS."""
        caller.require(WRITE)
        if len(name) > MAX_NAME_CHARS or _NAME.fullmatch(name) is None:
            raise InvalidValueError(
                f"name must have 1 to {MAX_NAME_CHARS} letters, digits or _ . -", field="name"
            )
        parse(query)
        _check_description(description)

        def work(tx: Transaction) -> Group:
            own = device_groups.c.organization_id == caller.organization_id
            count = tx.connection.scalar(select(func.count()).select_from(device_groups).where(own))
            if (count or 0) >= MAX_GROUPS:
                raise TooManyError(f"There are {MAX_GROUPS} groups, which is the most.")
            at = self._clock()
            values: dict[str, Any] = {
                "name": name,
                "description": description,
                "query": query,
                "created_at": at,
                "updated_at": at,
            }
            row = values | {"organization_id": caller.organization_id}
            try:
                key: Any = tx.execute(insert(device_groups).values(row)).inserted_primary_key
            except IntegrityError:
                raise ConflictError(f"There is a group {name!r} already.", field="name") from None
            tx.after_commit(lambda: self._touched(caller.organization_id, name))
            return Group(int(key[0]), **values)

        group = await self._db.write(work)
        await self._audit.record(caller, "group.created", f"group:{name}", detail={"query": query})
        return group

    async def get(self, caller: Caller, name: str) -> Group:
        """Return a group. Raises NotFoundError, also for another organisation's."""
        caller.require(READ)
        return await self._db.read(lambda connection: _find(connection, caller, name))

    async def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Group]:
        """Return groups in the order they were made; `search` must occur in name or description."""
        caller.require(READ)
        check_limit(limit)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        query = select(*_columns).where(
            device_groups.c.organization_id == caller.organization_id,
            device_groups.c.id > after_id,
        )
        if search:
            query = query.where(
                device_groups.c.name.icontains(search, autoescape=True)
                | device_groups.c.description.icontains(search, autoescape=True)
            )
        query = query.order_by(device_groups.c.id).limit(limit + 1)
        rows = await self._db.read(lambda connection: connection.execute(query).all())
        items = [Group(*row) for row in rows[:limit]]
        return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)

    async def devices(
        self, caller: Caller, name: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[DeviceRecord]:
        """Return the devices that the group's query means now, in the order of registration."""
        group = await self.get(caller, name)
        return await self._devices.list(caller, None, query=group.query, limit=limit, cursor=cursor)

    async def meant(
        self,
        caller: Caller,
        *,
        group: str | None = None,
        query: str = "",
        app: str | None = None,
        most: int,
    ) -> Sequence[tuple[int, str]]:
        """Return (key, app) of the devices that a group, or else a query, means, oldest first.

        Raises NotFoundError, InvalidValueError for a fault in the query, TooManyError past `most`.
        """
        caller.require(READ)
        if group is not None:
            query = (await self.get(caller, group)).query
        asked = (
            select(devices.c.id, devices.c.app)
            .where(devices.c.organization_id == caller.organization_id, condition(parse(query)))
            .order_by(devices.c.id)
            .limit(most + 1)
        )
        if app is not None:
            asked = asked.where(devices.c.app == app)
        rows = await self._db.read(lambda connection: connection.execute(asked).all())
        if len(rows) > most:
            raise TooManyError(f"More than {most} devices are meant, which is the most.")
        return [(row.id, row.app) for row in rows]

    async def update(
        self,
        caller: Caller,
        name: str,
        *,
        query: str | None = None,
        description: str | None = None,
        expects: Callable[[Group], None] = lambda group: None,
    ) -> Group:
        """Change what is given. `expects` is called with the group as it is, and may raise."""
        caller.require(WRITE)
        changes: dict[str, Any] = {}
        if query is not None:
            parse(query)
            changes["query"] = query
        if description is not None:
            _check_description(description)
            changes["description"] = description

        def work(tx: Transaction) -> Group:
            group = _find(tx.connection, caller, name)
            expects(group)
            values = changes | {"updated_at": self._clock()}
            tx.execute(update(device_groups).where(device_groups.c.id == group.id).values(values))
            tx.after_commit(lambda: self._touched(caller.organization_id, name))
            return msgspec.structs.replace(group, **values)

        group = await self._db.write(work)
        detail = {"fields": sorted(changes), "query": group.query}
        await self._audit.record(caller, "group.changed", f"group:{name}", detail=detail)
        return group

    async def delete(self, caller: Caller, name: str) -> None:
        """Remove a group; its devices stay. Raises NotFoundError."""
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            group = _find(tx.connection, caller, name)
            tx.execute(delete(device_groups).where(device_groups.c.id == group.id))
            tx.after_commit(lambda: self._touched(caller.organization_id, name))

        await self._db.write(work)
        await self._audit.record(caller, "group.deleted", f"group:{name}")


def _find(connection: Any, caller: Caller, name: str) -> Group:
    row = connection.execute(
        select(*_columns).where(
            device_groups.c.organization_id == caller.organization_id,
            device_groups.c.name == name,
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no group {name[:MAX_NAME_CHARS]!r}.")
    return Group(*row)


def _check_description(description: str) -> None:
    if len(description) > MAX_DESCRIPTION_CHARS or not description.isprintable():
        raise InvalidValueError(
            f"description must be printable text of at most {MAX_DESCRIPTION_CHARS} characters",
            field="description",
        )
