"""DeviceDirectory: who is registered, for those who may know."""

from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.devices import repository
from fleetwire.features.devices.matching import condition
from fleetwire.features.devices.query import parse
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.rules import check_attribute_name
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit.device import Device
from fleetwire.kit.services import Audit, Caller, DeviceRecord, Devices, Page
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database

MAX_SEARCH_CHARS = 200

READ = "device.read"
WRITE = "device.write"


class DeviceDirectory(Devices):
    """The part of the registry that shows devices."""

    def __init__(self, db: Database, registry: Registry, audit: Audit, downlink: Downlink) -> None:
        self._db = db
        self._registry = registry
        self._audit = audit
        self._downlink = downlink

    def find(self, app: str, device_id: str) -> Device | None:
        return self._registry.find(app, device_id)

    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord:
        caller.require(READ)
        device = self._own(caller, app, device_id)
        return await self._read(device)

    async def list(
        self,
        caller: Caller,
        app: str | None,
        *,
        attributes: dict[str, str] | None = None,
        search: str | None = None,
        query: str | None = None,
        area_id: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceRecord]:
        """Return devices in the order of registration.

        `attributes` must be equal as text, `search` must occur in the id, the name or the type;
        `query` is in the language of query.py. Raises NotFoundError if there is no such area.
        """
        caller.require(READ)
        check_limit(limit)
        for name in attributes or {}:
            check_attribute_name(name)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        meant = None if query is None else condition(parse(query))
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda connection: repository.list_devices(
                connection,
                organization_id=caller.organization_id,
                app=app,
                attributes=attributes or {},
                search=search,
                meant=meant,
                area_id=area_id,
                after_id=after_id,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def count(
        self, caller: Caller, app: str | None = None, *, query: str | None = None
    ) -> int:
        caller.require(READ)
        meant = None if query is None else condition(parse(query))
        return await self._db.read(
            lambda connection: repository.count_devices(
                connection, organization_id=caller.organization_id, app=app, meant=meant
            )
        )

    def _own(self, caller: Caller, app: str, device_id: str) -> Device:
        """Return the caller's device; raises NotFoundError, also for somebody else's."""
        device = self._registry.find(app, device_id)
        if device is None or device.organization_id != caller.organization_id:
            raise not_found(app, device_id)
        return device

    async def _read(self, device: Device) -> DeviceRecord:
        record = await self._db.read(
            lambda connection: repository.find_device(connection, device.id)
        )
        if record is None:
            raise not_found(device.app, device.device_id)
        return record


def subject_of(app: str, device_id: str) -> str:
    """Return how the audit calls a device."""
    return f"device:{app}/{device_id}"


def not_found(app: str, device_id: str) -> NotFoundError:
    """Return the error for a device that is not there, or is somebody else's."""
    return NotFoundError(f"No device {device_id[:128]!r} is registered with {app[:64]!r}.")
