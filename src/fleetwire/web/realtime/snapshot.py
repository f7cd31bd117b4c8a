"""Snapshot: how the devices of an interest are, before their events."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from fleetwire.errors import NotFoundError
from fleetwire.kit.device import Device
from fleetwire.kit.instants import iso
from fleetwire.kit.services import Caller, DeviceRecord, Devices, Telemetry
from fleetwire.web.realtime.interest import DEVICES, READINGS, Interest, is_named
from fleetwire.web.realtime.selection import Selection

PAGE_DEVICES = 50  # in one part


class Snapshots:
    """Reads devices, what they reported, their presence and newest readings, a page at a time."""

    def __init__(self, devices: Devices, telemetry: Telemetry, apps: tuple[str, ...]) -> None:
        self._devices = devices
        self._telemetry = telemetry
        self._apps = apps

    def check(self, caller: Caller, interest: Interest, only_app: str | None) -> None:
        """Raise NotFoundError if what is named is not there for the caller, or not here."""
        for organization_id in interest.organizations:
            if organization_id != caller.organization_id:
                raise NotFoundError(
                    f"You do not speak for the organisation {organization_id}.",
                    field="organizations",
                )
        for app in interest.apps:
            if app not in self._apps or only_app not in (None, app):
                raise NotFoundError(f"There is no app {app[:60]!r} here.", field="apps")
        for name in interest.devices:
            if not self._named(caller, name, only_app):
                raise NotFoundError(f"There is no device {name[:120]!r}.", field="devices")

    @staticmethod
    def is_meant(device: Device, interest: Interest, only_app: str | None) -> bool:
        """Say whether a device is one of the apps and names of an interest."""
        if only_app not in (None, device.app):
            return False
        if interest.apps and device.app not in interest.apps:
            return False
        return not interest.devices or is_named(device, frozenset(interest.devices))

    async def pages(
        self,
        who: Callable[[], Caller],
        interest: Interest,
        selection: Selection | None,
        only_app: str | None,
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield the devices that the caller may see, in pages; none without `device.read`.

        `who` gives the caller as he is at that moment.
        """
        if DEVICES not in who().permissions:
            return
        named: list[Device] | None = None
        if selection is not None:
            named = selection.devices()
        elif interest.devices:
            found = {
                device.id: device
                for name in interest.devices
                for device in self._named(who(), name, only_app)
            }
            named = [found[id] for id in sorted(found)]
        if named is not None:
            meant = [device for device in named if self.is_meant(device, interest, only_app)]
            async with aclosing(self.of(who, meant)) as shown:
                async for page in shown:
                    yield page
            return
        cursor: str | None = None
        caller = who()
        while True:
            listed = await self._devices.list(caller, only_app, limit=PAGE_DEVICES, cursor=cursor)
            if DEVICES not in who().permissions:
                return
            apps = interest.apps
            records = [record for record in listed.items if not apps or record.app in apps]
            if records:
                yield [await self._shown(who(), record) for record in records]
            cursor = listed.next_cursor
            if cursor is None:
                return

    async def of(
        self, who: Callable[[], Caller], named: Sequence[Device]
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield these devices as `pages` does, without those that were deleted a moment ago."""
        for start in range(0, len(named), PAGE_DEVICES):
            shown = []
            for device in named[start : start + PAGE_DEVICES]:
                caller = who()
                if DEVICES not in caller.permissions:
                    return
                try:
                    record = await self._devices.get(caller, device.app, device.device_id)
                except NotFoundError:
                    continue
                shown.append(await self._shown(caller, record))
            if shown:
                yield shown

    def _named(self, caller: Caller, name: str, only_app: str | None) -> list[Device]:
        app, _, device_id = name.partition("/")
        found = [self._devices.find(app, device_id)] if device_id else []
        found += [self._devices.find(each, name) for each in self._apps]
        return [
            device
            for device in found
            if device is not None
            and device.organization_id == caller.organization_id
            and only_app in (None, device.app)
        ]

    async def _shown(self, caller: Caller, record: DeviceRecord) -> dict[str, Any]:
        may_read = READINGS in caller.permissions
        readings = await self._telemetry.latest(caller, record) if may_read else ()
        return {
            "app": record.app,
            "device_id": record.device_id,
            "type": record.type,
            "name": record.name,
            "attributes": record.attributes,
            "status": record.status,
            "reported": record.reported,
            "connected": record.connected,
            "connected_reason": record.connected_reason,
            "connected_since": _iso(record.connected_since_at),
            "last_seen": _iso(record.last_seen_at),
            "readings": [
                {
                    "metric": reading.metric,
                    "value": reading.value,
                    "unit": reading.unit,
                    "at": iso(reading.at),
                    "flagged": reading.flagged,
                }
                for reading in readings
            ],
        }


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
