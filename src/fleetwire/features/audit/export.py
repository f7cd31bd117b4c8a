"""Audit records as lines of a file: NDJSON for programs, CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Final, Literal

from fleetwire.features.audit.schemas import AuditRecordView
from fleetwire.features.audit.service import AuditRecord

Format = Literal["ndjson", "csv"]

MEDIA_TYPES: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_COLUMNS: Final = tuple(AuditRecordView.model_fields)
# A spreadsheet takes a cell that begins so for a formula, and anybody may choose a client id.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


async def ndjson_lines(pages: AsyncIterator[Sequence[AuditRecord]]) -> AsyncIterator[bytes]:
    """Yield each record as one line of JSON, some hundred lines at a time."""
    async for page in pages:
        yield "".join(
            AuditRecordView.of(record).model_dump_json() + "\n" for record in page
        ).encode()


async def csv_lines(pages: AsyncIterator[Sequence[AuditRecord]]) -> AsyncIterator[bytes]:
    """Yield a line of names, then each record as a line; `detail` is JSON.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    yield _csv([list(_COLUMNS)])
    async for page in pages:
        yield _csv([_cells(record) for record in page])


def _cells(record: AuditRecord) -> list[str]:
    view = AuditRecordView.of(record).model_dump()
    return [_cell(view[name]) for name in _COLUMNS]


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
