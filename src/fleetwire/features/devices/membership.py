"""Membership: which devices a query means, kept right for as long as somebody watches it.

Theory of operation. Whatever writes a device's row tells the registry afterwards that the device
was touched. A set that is watched asks the database again about the touched devices only, or about
all of them when there are many or its group was changed; the group's query is read in the same
snapshot. Devices come and go far more often than they change otherwise, which is nothing to a query
that does not speak of it. Touches that come while the database answers are looked at in the next
round, so the last answer is always newer than the last change.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator

import structlog
from sqlalchemy import Connection, select

from fleetwire.errors import NotFoundError, StoreUnavailableError, TooManyError
from fleetwire.features.devices.matching import condition
from fleetwire.features.devices.query import Node, Not, Term, parse
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.tables import device_groups, devices
from fleetwire.kit.device import Device
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.devices")

MOST_SETS = 200  # watched at once in one organisation: each is asked after each change
MOST_TOUCHED = 500  # devices asked about one by one; past it all of them are
PAUSE_S = 0.1  # between two rounds: changes that come together cost one
RETRY_S = 1.0

Told = Callable[["Members", list[Device], list[Device]], None]
"""Called with the set, who joined it and who left it. On the event loop; must not raise."""


class Members:
    """The devices of one organisation that a query, or a group's query, means now."""

    def __init__(self, organization_id: int, query: str, group: str) -> None:
        self.organization_id = organization_id
        self.query = query
        self.group = group
        self.fields: frozenset[str] = frozenset()  # of which its query speaks
        self.watchers: list[Told] = []
        self.devices: dict[int, Device] = {}
        self.touched: set[int] = set()
        self.is_all_touched = True
        self.is_there: bool | None = None  # its group; None = nothing was asked yet
        self.lock = asyncio.Lock()  # answers are taken in the order in which they were asked for

    def __contains__(self, device: Device) -> bool:
        return device.id in self.devices


class Memberships:
    """The sets that are watched."""

    def __init__(self, db: Database, registry: Registry) -> None:
        self._db = db
        self._registry = registry
        self._sets: dict[tuple[int, str, str], Members] = {}
        self._by_organization: dict[int, int] = {}  # how many
        self._wake = asyncio.Event()
        registry.watchers.append(self.touch)

    def __len__(self) -> int:
        return len(self._sets)

    async def watch(
        self, organization_id: int, told: Told, *, query: str = "", group: str = ""
    ) -> Members:
        """Return the set that a query or a group means; `told` hears of changes until `unwatch`.

        Raises InvalidValueError, NotFoundError for a group that is not there, TooManyError,
        StoreUnavailableError.
        """
        if not group:
            parse(query)
        key = (organization_id, query, group)
        members = self._sets.get(key)
        if members is None:
            count = self._by_organization.get(organization_id, 0)
            if count >= MOST_SETS:
                raise TooManyError(f"{count} groups and queries are watched, which is the most.")
            members = self._sets[key] = Members(*key)
            self._by_organization[organization_id] = count + 1
        members.watchers.append(told)
        try:
            await self._refresh(members)
            if not members.is_there:
                raise NotFoundError(f"There is no group {group[:64]!r}.", field="groups")
        except BaseException:
            self.unwatch(members, told)
            raise
        return members

    def unwatch(self, members: Members, told: Told) -> None:
        """Tell no more; a set that nobody watches is forgotten."""
        members.watchers.remove(told)
        if members.watchers:
            return
        organization_id = members.organization_id
        del self._sets[(organization_id, members.query, members.group)]
        self._by_organization[organization_id] -= 1
        if not self._by_organization[organization_id]:
            del self._by_organization[organization_id]

    # --- what changes; on the event loop, after the commit ---

    def touch(self, device: int, field: str = "") -> None:
        """Note that a field of a device has changed, "" = any: it may belong elsewhere now."""
        for members in self._sets.values():
            # Until the first answer it is not known of what a group's query speaks.
            if not field or field in members.fields or members.is_there is None:
                members.touched.add(device)
                self._wake.set()

    def touch_group(self, organization_id: int, name: str) -> None:
        """Note that a group was made, changed or removed."""
        members = self._sets.get((organization_id, "", name))
        if members is not None:
            members.is_all_touched = True
            self._wake.set()

    def touch_organization(self, organization_id: int) -> None:
        """Note that any device of an organisation may belong elsewhere from now on."""
        for members in self._sets.values():
            if members.organization_id == organization_id:
                members.is_all_touched = True
                self._wake.set()

    # --- the worker ---

    async def run(self) -> None:
        """Keep the sets right, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for members in list(self._sets.values()):
                    await self._refresh(members)
            except StoreUnavailableError as error:
                log.warning("the members of groups are not known just now", reason=str(error))
                self._wake.set()
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(PAUSE_S)

    async def _refresh(self, members: Members) -> None:
        """Ask about what was touched, and tell what changed."""
        async with members.lock:
            is_whole = members.is_all_touched or len(members.touched) > MOST_TOUCHED
            touched, members.touched = members.touched, set()
            members.is_all_touched = False
            if not is_whole and not touched:
                return
            try:
                answer = await self._db.read(
                    lambda connection: _ask(connection, members, None if is_whole else touched)
                )
            except BaseException:
                members.is_all_touched = True
                raise
            is_first, members.is_there = members.is_there is None, answer is not None
            members.fields, found = answer or (frozenset(), set())
            asked = members.devices.keys() | found if is_whole else touched
            joined, left = self._apply(members, asked, found)
        # Who watches from the beginning is given the set itself.
        if (joined or left) and not is_first:
            for told in tuple(members.watchers):
                told(members, joined, left)

    def _apply(
        self, members: Members, asked: Collection[int], found: set[int]
    ) -> tuple[list[Device], list[Device]]:
        """Take an answer; return who joined and who left."""
        joined, left = [], []
        for id in sorted(asked):
            device = self._registry.by_id(id)  # None = it was removed
            if id in found and device is not None:
                if id not in members.devices:
                    members.devices[id] = device
                    joined.append(device)
            elif id in members.devices:
                left.append(members.devices.pop(id))
        return joined, left


def _ask(
    connection: Connection, members: Members, among: set[int] | None
) -> tuple[frozenset[str], set[int]] | None:
    """Return (fields the query speaks of, devices it means, of all or among some).

    None = its group is not there.
    """
    query: str | None = members.query
    if members.group:
        query = connection.scalar(
            select(device_groups.c.query).where(
                device_groups.c.organization_id == members.organization_id,
                device_groups.c.name == members.group,
            )
        )
        if query is None:
            return None
    node = parse(query or "")
    asked = select(devices.c.id).where(
        devices.c.organization_id == members.organization_id, condition(node)
    )
    if among is not None:
        asked = asked.where(devices.c.id.in_(among))
    return frozenset(_fields(node)), set(connection.scalars(asked))


def _fields(node: Node) -> Iterator[str]:
    if isinstance(node, Term):
        yield node.field
    elif isinstance(node, Not):
        yield from _fields(node.part)
    else:
        for part in node.parts:
            yield from _fields(part)
