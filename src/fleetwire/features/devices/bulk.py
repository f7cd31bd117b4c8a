"""BulkImport: many devices at once, each line created, changed, left as it is or refused.

A portion is small enough to be answered at once, so that the sender knows how far it is, and a
line that was carried out is left as it is when it comes again: whoever was cut off sends all anew.
A line stands alone: a refused one keeps no other from being carried out.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fleetwire.errors import DomainError
from fleetwire.features.areas.rules import names_in
from fleetwire.features.devices.rules import (
    MAX_NAME_CHARS,
    MAX_TYPE_CHARS,
    check_attributes,
    check_text,
    clean_tags,
)
from fleetwire.features.devices.service import WRITE, DeviceService
from fleetwire.kit.areas import Areas
from fleetwire.kit.services import Caller, Credential

MAX_LINES: Final = 100  # of one portion: some milliseconds of work for each new credential

CREATED: Final = "created"
CHANGED: Final = "changed"
UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"


class Line(msgspec.Struct):
    """What a device shall be. None = what there is stays, and a new device has none."""

    app: str
    device_id: str
    type: str
    name: str | None = None
    attributes: dict[str, Any] | None = None
    tags: list[str] | None = None
    area: str | None = None  # a path, of which is made what is missing; "" = stands in none


class Outcome(msgspec.Struct):
    """What became of a line, or would; `reason` and `field` are of a refusal."""

    device_id: str
    outcome: str
    reason: str | None = None
    field: str | None = None
    credential: Credential | None = None


class BulkImport:
    """Brings lines into the registry, by the service that every other change goes through."""

    def __init__(self, devices: DeviceService, areas: Areas) -> None:
        self._devices = devices
        self._areas = areas

    async def run(self, caller: Caller, lines: Sequence[Line], *, dry_run: bool) -> list[Outcome]:
        """Return the outcome of each line; with `dry_run` nothing is changed.

        Raises StoreUnavailableError: lines before that may have been carried out, and are found
        unchanged when they are sent again.
        """
        caller.require(WRITE)
        seen: set[tuple[str, str]] = set()
        outcomes = []
        for line in lines:
            if (line.app, line.device_id) in seen:
                outcome = Outcome(
                    line.device_id, REFUSED, "This device is in an earlier line.", "device_id"
                )
            else:
                seen.add((line.app, line.device_id))
                outcome = await self._line(caller, line, dry_run)
            outcomes.append(outcome)
        return outcomes

    async def _line(self, caller: Caller, line: Line, dry_run: bool) -> Outcome:
        try:
            # Somebody else's device is registered anew, and so refused as one that is taken.
            found = self._devices.find(line.app, line.device_id)
            if found is None or found.organization_id != caller.organization_id:
                return await self._create(caller, line, dry_run)
            record = await self._devices.get(caller, line.app, line.device_id)
            merged = record.attributes | (line.attributes or {})
            merged = {key: value for key, value in merged.items() if value is not None}
            check_text(line.type, "type", MAX_TYPE_CHARS)
            if line.name is not None:
                check_text(line.name, "name", MAX_NAME_CHARS)
            check_attributes(merged)
            tags = record.tags if line.tags is None else clean_tags(line.tags)
            area = record.area if line.area is None else _checked_path(line.area)
            wanted = (line.type, line.name or record.name, merged, tags, area)
            if wanted == (record.type, record.name, record.attributes, record.tags, record.area):
                return Outcome(line.device_id, UNCHANGED)
            if not dry_run:
                await self._devices.update(
                    caller,
                    line.app,
                    line.device_id,
                    type=line.type,
                    name=line.name,
                    attributes=line.attributes,
                    tags=line.tags,
                    area_id=await self._area_id(caller, line),
                )
        except DomainError as error:
            return Outcome(line.device_id, REFUSED, error.message, error.field)
        return Outcome(line.device_id, CHANGED)

    async def _create(self, caller: Caller, line: Line, dry_run: bool) -> Outcome:
        given: dict[str, Any] = {
            "name": line.name,
            "attributes": line.attributes or {},
            "tags": line.tags or (),
        }
        # Also for good: a line that is refused makes no areas.
        self._devices.check_registration(line.app, line.device_id, line.type, **given)
        if line.area is not None:
            _checked_path(line.area)
        if dry_run:
            return Outcome(line.device_id, CREATED)
        _, credential = await self._devices.register(
            caller,
            line.app,
            line.device_id,
            line.type,
            area_id=await self._area_id(caller, line),
            **given,
        )
        return Outcome(line.device_id, CREATED, credential=credential)

    async def _area_id(self, caller: Caller, line: Line) -> int | None:
        """Return the area that a line names, 0 for none, None if it says nothing of it."""
        if not line.area:
            return None if line.area is None else 0
        return (await self._areas.ensure(caller, line.area)).id


def _checked_path(path: str) -> str | None:
    """Return a path, None for "". Raises InvalidValueError."""
    if not path:
        return None
    names_in(path)
    return path
