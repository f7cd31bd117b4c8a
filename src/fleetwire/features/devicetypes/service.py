"""DeviceTypeService: the organisations' own types beside those that apps declare."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.devices.repository import count_of_type
from fleetwire.features.devicetypes import repository
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.rules import check_type
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Audit, Caller, DeviceRecord, Page
from fleetwire.kit.types import DeviceType, DeviceTypeRecord, DeviceTypes
from fleetwire.store.database import Database, Transaction

READ = "device.read"
WRITE = "device.write"

MAX_TYPES = 500  # of one organisation: all of them are in memory
MAX_SEARCH_CHARS = 200


class DeviceTypeService(DeviceTypes):
    """Makes, shows, changes and removes types; the book follows after each commit."""

    def __init__(
        self,
        db: Database,
        book: TypeBook,
        audit: Audit,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._book = book
        self._audit = audit
        self._clock = clock

    async def load(self) -> None:
        """Fill the book from the database, before anybody asks it."""
        for organization_id, record in await self._db.read(repository.all_types):
            self._book.put(organization_id, record)

    def of(self, device: Device | DeviceRecord) -> DeviceType | None:
        known = self._book.known_of(device)
        return None if known is None else known.record.type

    def check_command(
        self, device: Device | DeviceRecord, name: str, parameters: dict[str, Any]
    ) -> None:
        self._book.check_command(device, name, parameters)

    async def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceTypeRecord]:
        caller.require(READ)
        check_limit(limit)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        # Apps' types have no key of their own; they are few, and the same until the next start.
        place, after_id = (0, 0) if cursor is None else decode_cursor(cursor, 2)
        found: list[tuple[int, DeviceTypeRecord]] = []
        for number, record in enumerate(self._book.every(caller.organization_id), 1):
            is_new = record.id > after_id if record.id else number > place
            if is_new and (search or "").lower() in record.type.name.lower():
                found.append((number, record))
        items = found[:limit]
        if len(found) <= limit:
            return Page([record for _, record in items])
        number, last = items[-1]
        after = encode_cursor(max(place, number), last.id)
        return Page([record for _, record in items], after)

    async def get(self, caller: Caller, name: str, *, app: str | None = None) -> DeviceTypeRecord:
        caller.require(READ)
        found = self._book.own(caller.organization_id, name) if app is None else None
        found = found or self._book.declared(name, app)
        if found is None:
            raise _not_found(name)
        return found

    async def create(self, caller: Caller, type: DeviceType) -> DeviceTypeRecord:
        """Add a type. Raises ConflictError if the name is taken, TooManyError at MAX_TYPES."""
        caller.require(WRITE)
        check_type(type)
        organization_id = caller.organization_id

        def work(tx: Transaction) -> DeviceTypeRecord:
            if repository.count_types(tx.connection, organization_id) >= MAX_TYPES:
                raise TooManyError(f"There are {MAX_TYPES} device types, which is the most.")
            try:
                record = repository.insert_type(tx, organization_id, type, self._clock())
            except IntegrityError:
                raise ConflictError(
                    f"There is a device type {type.name!r} already.", field="name"
                ) from None
            tx.after_commit(lambda: self._book.put(organization_id, record))
            return record

        record = await self._db.write(work)
        await self._audit.record(caller, "device_type.created", _subject(type.name))
        return record

    async def update(
        self,
        caller: Caller,
        name: str,
        change: Callable[[DeviceType], DeviceType],
        *,
        expects: Callable[[DeviceTypeRecord], None] = lambda record: None,
    ) -> DeviceTypeRecord:
        """Change a type. Raises NotFoundError, ConflictError for one that an app declares."""
        caller.require(WRITE)
        organization_id = caller.organization_id

        def work(tx: Transaction) -> DeviceTypeRecord:
            found = self._own(tx, caller, name)
            expects(found)
            type = change(found.type)
            if type.name != name:
                raise InvalidValueError("A device type keeps its name.", field="name")
            check_type(type)
            at = self._clock()
            repository.update_type(tx, found.id, type, at)
            record = DeviceTypeRecord(type, None, found.id, found.created_at, at)
            tx.after_commit(lambda: self._book.put(organization_id, record))
            return record

        record = await self._db.write(work)
        await self._audit.record(caller, "device_type.changed", _subject(name))
        return record

    async def delete(self, caller: Caller, name: str) -> None:
        """Remove a type. Raises ConflictError, with how many, while devices are of it."""
        caller.require(WRITE)
        organization_id = caller.organization_id

        def work(tx: Transaction) -> None:
            found = self._own(tx, caller, name)
            count = count_of_type(tx.connection, organization_id, name)
            if count:
                devices = "1 device is" if count == 1 else f"{count} devices are"
                raise ConflictError(f"{devices} of the type {name!r}: change their type first.")
            repository.delete_type(tx, found.id)
            tx.after_commit(lambda: self._book.remove(organization_id, name))

        await self._db.write(work)
        await self._audit.record(caller, "device_type.deleted", _subject(name))

    def _own(self, tx: Transaction, caller: Caller, name: str) -> DeviceTypeRecord:
        found = repository.find_type(tx.connection, caller.organization_id, name)
        if found is not None:
            return found
        declared = self._book.declared(name, None)
        if declared is None:
            raise _not_found(name)
        raise ConflictError(
            f"The app {declared.app!r} declares the type {name!r}: make one of your own by this "
            "name, and it applies to your devices in its place."
        )


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"There is no device type {name[:64]!r}.")


def _subject(name: str) -> str:
    return f"device_type:{name}"
