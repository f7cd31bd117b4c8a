"""`fleetwire devices import`: a file of devices, sent in portions."""

import csv
import io
import json
import os
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from fleetwire.cli.console import note, printable, say
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.errors import FleetwireError

PORTION = 100  # what the server takes at once
MAX_FILE_BYTES = 64 * 1024 * 1024
COLUMNS = ("app", "device_id", "type", "name", "tags")
ATTRIBUTE = "attr."


def run(
    client: RestClient, file: Path, app: str, credentials: Path | None, *, dry_run: bool
) -> bool:
    """Import a file; False if a line was refused. Raises FleetwireError, RestError."""
    from rich.console import Console
    from rich.progress import Progress

    if credentials is None and not dry_run:
        raise FleetwireError("--credentials FILE says where to write the passwords of new devices")
    lines = read(file, app)
    counts: Counter[str] = Counter()
    path = "/api/v1/device-imports" + ("?dry_run=true" if dry_run else "")
    descriptor = -1 if credentials is None or dry_run else _create(credentials)
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("devices", total=len(lines))
            for start in range(0, len(lines), PORTION):
                portion = lines[start : start + PORTION]
                items = _send(client, path, portion)
                if descriptor >= 0:
                    _write(descriptor, items)
                for number, item in enumerate(items, start + 1):
                    counts[item["outcome"]] += 1
                    if item["outcome"] == "refused":
                        reason = printable(f"{item['device_id']}: {item['reason']}".encode())
                        note(f"device {number}, {reason}")
                progress.advance(task, len(portion))
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    words = ("created", "changed", "unchanged", "refused")
    said = ", ".join(f"{counts[word]} {word}" for word in words)
    say(f"{said} (dry run: nothing was changed)" if dry_run else said)
    return not counts["refused"]


def read(file: Path, app: str) -> list[dict[str, Any]]:
    """Return the devices of a CSV or JSON file. Raises FleetwireError."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FleetwireError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FleetwireError(f"{file} cannot be read: {error}") from None
    if file.suffix.lower() == ".json":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FleetwireError(f"{file} is no JSON: {error}") from None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise FleetwireError(f"{file} must be a list of objects")
        return [{"app": app} | each for each in found]
    return _read_csv(file, text, app)


def _read_csv(file: Path, text: str, app: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        odd = [each for each in names if each not in COLUMNS and not each.startswith(ATTRIBUTE)]
        if odd or "device_id" not in names or "type" not in names:
            raise FleetwireError(
                f"{file}: the first line must name device_id and type; besides them there may be "
                f"app, name, tags and attr.NAME{', not ' + odd[0] if odd else ''}"
            )
        lines = []
        for row in reader:
            if None in row or None in row.values():
                raise FleetwireError(f"{file}, line {reader.line_num}: not as many as columns")
            lines.append(_line(row, app))
        return lines
    except csv.Error as error:
        raise FleetwireError(f"{file}, line {reader.line_num}: {error}") from None


def _line(row: dict[str, str], app: str) -> dict[str, Any]:
    """An empty field says nothing: what there is stays."""
    line: dict[str, Any] = {
        "app": row.get("app") or app,
        "device_id": row["device_id"],
        "type": row["type"],
        "attributes": {
            name.removeprefix(ATTRIBUTE): value
            for name, value in row.items()
            if name.startswith(ATTRIBUTE) and value
        },
    }
    if row.get("name"):
        line["name"] = row["name"]
    if row.get("tags"):
        line["tags"] = row["tags"].split()
    return line


def _send(client: RestClient, path: str, portion: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body, key = {"devices": portion}, str(uuid.uuid4())
    try:
        answer = client.post(path, body, key=key)
    except RestError as error:
        if error.status:
            raise
        # No answer came. With the same key the passwords of a first success come again.
        answer = client.post(path, body, key=key)
    items: list[dict[str, Any]] = answer["items"]
    return items


def _create(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # these are secrets
    except OSError as error:
        raise FleetwireError(f"{file} cannot be made: {error}") from None


def _write(descriptor: int, items: list[dict[str, Any]]) -> None:
    """Write `username,password` lines, on the disk before the next portion is sent."""
    given = [item["credential"] for item in items if item["credential"] is not None]
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([each["username"], each["password"]] for each in given)
        out.flush()
        os.fsync(descriptor)
