"""DeviceExport: an organisation's devices as a file that the bulk import takes back.

What people set of a device is in it: type, name, attributes, tags, area. What devices report, and
credentials, are not. Devices that are changed meanwhile are there as they were when it was their
turn; one that is registered meanwhile is there, too.
"""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal

from fleetwire.kit.services import Audit, Caller, DeviceRecord, Devices

Format = Literal["csv", "json", "ndjson"]

PAGE: Final = 200  # devices in memory at once: with all that they may carry, some MiB
MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
COLUMNS: Final = ("app", "device_id", "type", "name", "tags", "area", "attributes")

# A spreadsheet takes a cell that begins so for a formula: it gets an apostrophe before it. So does
# one that has apostrophes before that, so that the import knows which one to take away.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")

Pages = AsyncIterator[Sequence[DeviceRecord]]


class DeviceExport:
    """Gives devices out, a page at a time."""

    def __init__(self, devices: Devices, audit: Audit) -> None:
        self._devices = devices
        self._audit = audit

    async def pages(self, caller: Caller, *, app: str | None, query: str | None) -> Pages:
        """Return the devices that are meant, in the order of registration.

        Raises InvalidValueError before anything is given out. That it was asked for is on record.
        """
        first = await self._devices.list(caller, app, query=query, limit=PAGE)
        detail = {"app": app, "query": query}
        await self._audit.record(caller, "devices.exported", detail=detail)
        return self._rest(caller, first.items, first.next_cursor, app, query)

    async def _rest(
        self,
        caller: Caller,
        items: Sequence[DeviceRecord],
        cursor: str | None,
        app: str | None,
        query: str | None,
    ) -> Pages:
        yield items
        while cursor is not None:
            page = await self._devices.list(caller, app, query=query, limit=PAGE, cursor=cursor)
            yield page.items
            cursor = page.next_cursor


async def csv_lines(pages: Pages) -> AsyncIterator[bytes]:
    """Yield a line of names, then a line for each device; `attributes` are JSON."""
    yield _csv([list(COLUMNS)])
    async for page in pages:
        yield _csv([_cells(device) for device in page])


async def ndjson_lines(pages: Pages) -> AsyncIterator[bytes]:
    """Yield each device as one line of JSON, some hundred lines at a time."""
    async for page in pages:
        yield "".join(_json(_said(device)) + "\n" for device in page).encode()


async def json_lines(pages: Pages) -> AsyncIterator[bytes]:
    """Yield a JSON list, a device on each line."""
    separator = "[\n"
    async for page in pages:
        text = ""
        for device in page:
            text += separator + _json(_said(device))
            separator = ",\n"
        yield text.encode()
    yield b"[]\n" if separator == "[\n" else b"\n]\n"


LINES: Final = {"csv": csv_lines, "json": json_lines, "ndjson": ndjson_lines}


def _said(device: DeviceRecord) -> dict[str, Any]:
    return {
        "app": device.app,
        "device_id": device.device_id,
        "type": device.type,
        "name": device.name,
        "tags": list(device.tags),
        "area": device.area,
        "attributes": device.attributes,
    }


def _cells(device: DeviceRecord) -> list[str]:
    return [
        device.app,
        _cell(device.device_id),
        _cell(device.type),
        _cell(device.name or ""),
        _cell(" ".join(device.tags)),
        _cell(device.area or ""),
        _json(device.attributes) if device.attributes else "",
    ]


def _cell(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half of a surrogate pair, which JSON can say, has no form in UTF-8.
    return text if _is_text(text) else json.dumps(value)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
