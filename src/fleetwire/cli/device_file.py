"""A file of devices, as `fleetwire devices export` writes it and people do: CSV, JSON, NDJSON."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetwire.errors import FleetwireError

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_PORTION_BYTES = 512 * 1024  # half of what the server takes as one body
COLUMNS = ("app", "device_id", "type", "name", "tags", "area", "attributes")
ATTRIBUTE = "attr."

# What the export has put an apostrophe before, lest a spreadsheet take it for a formula.
_DISARMED = re.compile(r"'+[=+\-@\t\r]")


def read(file: Path, app: str) -> list[dict[str, Any]]:
    """Return the devices of a file; `app` is where a line says none. Raises FleetwireError."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FleetwireError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetwireError(f"{file} cannot be read: {error}") from None
    suffix = file.suffix.lower()
    if suffix == ".json":
        found = _decode(text, str(file))
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise FleetwireError(f"{file} must be a list of objects")
        return [{"app": app} | each for each in found]
    if suffix in (".ndjson", ".jsonl"):
        return list(_read_lines(file, text, app))
    return _read_csv(file, text, app)


def portions(lines: list[dict[str, Any]], most: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the lines in portions of at most so many, none too large to be one body."""
    portion: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        bytes_more = len(json.dumps(line))
        if portion and (len(portion) >= most or size + bytes_more > MAX_PORTION_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(line)
        size += bytes_more
    if portion:
        yield portion


def _decode(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FleetwireError(f"{place} is no JSON: {error}") from None


def _read_lines(file: Path, text: str, app: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = _decode(line, f"{file}, line {number},")
        if not isinstance(found, dict):
            raise FleetwireError(f"{file}, line {number}, must be an object")
        yield {"app": app} | found


def _read_csv(file: Path, text: str, app: str) -> list[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # the file as a whole has a bound
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        odd = [each for each in names if each not in COLUMNS and not each.startswith(ATTRIBUTE)]
        if odd or "device_id" not in names or "type" not in names:
            raise FleetwireError(
                f"{file}: the first line must name device_id and type; besides them there may be "
                f"app, name, tags, area, attributes (JSON) and "
                f"attr.NAME{', not ' + odd[0] if odd else ''}"
            )
        lines = []
        for row in reader:
            if None in row or None in row.values():
                raise FleetwireError(f"{file}, line {reader.line_num}: not as many as columns")
            lines.append(_line(row, app, f"{file}, line {reader.line_num}: attributes"))
        return lines
    except csv.Error as error:
        raise FleetwireError(f"{file}, line {reader.line_num}: {error}") from None


def _line(row: dict[str, str], app: str, place: str) -> dict[str, Any]:
    """An empty field says nothing: what there is stays."""
    said = {name: _armed(text) for name, text in row.items() if text}
    attributes: Any = _decode(said.pop("attributes", "{}"), place)
    if not isinstance(attributes, dict):
        raise FleetwireError(f"{place} must be a JSON object")
    line: dict[str, Any] = {
        "app": said.get("app") or app,
        "device_id": said.get("device_id", ""),
        "type": said.get("type", ""),
        "attributes": attributes
        | {
            name.removeprefix(ATTRIBUTE): text
            for name, text in said.items()
            if name.startswith(ATTRIBUTE)
        },
    }
    line |= {name: said[name] for name in ("name", "area") if name in said}
    if "tags" in said:
        line["tags"] = said["tags"].split()
    return line


def _armed(text: str) -> str:
    return text[1:] if _DISARMED.match(text) else text
