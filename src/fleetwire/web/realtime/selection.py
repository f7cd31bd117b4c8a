"""Selection: the devices that a subscription's groups and query mean, as they come and go."""

import asyncio
from collections.abc import Iterator

from fleetwire.features.devices.membership import Members, Memberships
from fleetwire.kit.device import Device
from fleetwire.web.realtime.interest import Interest


class Selection:
    """Who is in any of the groups, and in what the query means. `close` it when done."""

    def __init__(self, memberships: Memberships, interest: Interest) -> None:
        self._memberships = memberships
        self._interest = interest
        self._groups: list[Members] = []
        self._query: Members | None = None
        self._is_open = False
        self._joined: dict[int, Device] = {}
        self._left: dict[int, Device] = {}
        self._news = asyncio.Event()

    async def open(self, organization_id: int) -> None:
        """Watch. Raises NotFoundError, InvalidValueError, TooManyError, StoreUnavailableError."""
        watch = self._memberships.watch
        try:
            for name in dict.fromkeys(self._interest.groups):
                self._groups.append(await watch(organization_id, self._told, group=name))
            if self._interest.query is not None:
                query = self._interest.query
                self._query = await watch(organization_id, self._told, query=query)
        except BaseException:
            self.close()
            raise
        self._is_open = True

    def close(self) -> None:
        """Watch no more."""
        for members in self._sets():
            self._memberships.unwatch(members, self._told)
        self._groups = []
        self._query = None
        self._is_open = False

    def holds(self, device: Device) -> bool:
        """Say whether a device is meant now."""
        return self._holds(device, None)

    def devices(self) -> list[Device]:
        """Return the devices that are meant now, oldest first."""
        found: dict[int, Device] = {}
        for members in self._sets():
            found |= {id: each for id, each in members.devices.items() if self.holds(each)}
        return [found[id] for id in sorted(found)]

    async def changes(self) -> tuple[list[Device], list[Device]]:
        """Wait; return who joined and who left since the last time, or since it was opened."""
        await self._news.wait()
        self._news.clear()
        joined, self._joined = self._joined, {}
        left, self._left = self._left, {}
        return list(joined.values()), list(left.values())

    def _sets(self) -> Iterator[Members]:
        yield from self._groups
        if self._query is not None:
            yield self._query

    def _holds(self, device: Device, but: Members | None) -> bool:
        """Say whether a device is meant, were it the other way round with one of the sets."""
        if self._query is not None and (device in self._query) == (self._query is but):
            return False
        return not self._groups or any(
            (device in members) != (members is but) for members in self._groups
        )

    def _told(self, members: Members, joined: list[Device], left: list[Device]) -> None:
        if not self._is_open:
            return  # what is meant is asked for afterwards
        for device in (*joined, *left):
            is_in = self._holds(device, None)
            if is_in == self._holds(device, members):
                continue
            now, other = (self._joined, self._left) if is_in else (self._left, self._joined)
            if other.pop(device.id, None) is None or is_in:
                now[device.id] = device
        if self._joined or self._left:
            self._news.set()
