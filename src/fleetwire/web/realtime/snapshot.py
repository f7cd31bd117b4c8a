"""Snapshot: how the devices of an interest are, before their events."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from fleetwire.errors import NotFoundError
from fleetwire.kit.device import Device
from fleetwire.kit.instants import iso
from fleetwire.kit.services import Caller, DeviceRecord, Devices, Telemetry
from fleetwire.web.realtime.interest import DEVICES, READINGS, Interest, is_named

PAGE_DEVICES = 50  # in one part


class Snapshots:
    """Reads devices, what they reported, their presence and newest readings, a page at a time."""

    def __init__(self, devices: Devices, telemetry: Telemetry, apps: tuple[str, ...]) -> None:
        self._devices = devices
        self._telemetry = telemetry
        self._apps = apps

    def check(self, caller: Caller, interest: Interest) -> None:
        """Raise NotFoundError if a named device or app is not there for the caller."""
        for app in interest.apps:
            if app not in self._apps:
                raise NotFoundError(f"There is no app {app[:60]!r}.", field="apps")
        for name in interest.devices:
            if not self._named(caller, name):
                raise NotFoundError(f"There is no device {name[:120]!r}.", field="devices")

    async def pages(
        self,
        who: Callable[[], Caller],
        interest: Interest,
        groups: list[Callable[[Device], bool]],
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield the devices that the caller may see, in pages; none without `device.read`.

        `who` gives the caller as he is at that moment.
        """
        if DEVICES not in who().permissions:
            return
        names = frozenset(interest.devices)

        def wanted(record: DeviceRecord) -> bool:
            if interest.apps and record.app not in interest.apps:
                return False
            if not names and not groups:
                return True
            device = self._devices.find(record.app, record.device_id)
            if device is None or (names and not is_named(device, names)):
                return False
            return not groups or any(is_in(device) for is_in in groups)

        async for records in self._records(who(), names):
            if DEVICES not in who().permissions:
                return
            shown = [await self._shown(who(), record) for record in records if wanted(record)]
            if shown:
                yield shown

    async def _records(
        self, caller: Caller, names: frozenset[str]
    ) -> AsyncGenerator[list[DeviceRecord], None]:
        if names:
            devices = {device for name in sorted(names) for device in self._named(caller, name)}
            for device in sorted(devices, key=lambda device: device.id):
                try:
                    yield [await self._devices.get(caller, device.app, device.device_id)]
                except NotFoundError:
                    continue  # deleted a moment ago, which its events tell
            return
        cursor: str | None = None
        while True:
            page = await self._devices.list(caller, None, limit=PAGE_DEVICES, cursor=cursor)
            yield page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def _named(self, caller: Caller, name: str) -> list[Device]:
        app, _, device_id = name.partition("/")
        found = [self._devices.find(app, device_id)] if device_id else []
        found += [self._devices.find(each, name) for each in self._apps]
        return [
            device
            for device in found
            if device is not None and device.organization_id == caller.organization_id
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
