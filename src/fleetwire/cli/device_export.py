"""`fleetwire devices export`: the registry as a file."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from fleetwire.cli.console import note
from fleetwire.cli.rest import RestClient
from fleetwire.errors import FleetwireError

EXPORT = "/api/v1/devices/export"
FORMATS = ("csv", "json", "ndjson")
STANDARD_OUTPUT = Path("-")


def run(
    client: RestClient,
    file: Path,
    format: str | None,
    *,
    query: str | None,
    app: str | None,
    force: bool,
) -> None:
    """Write devices to a file, whole or not at all. Raises FleetwireError, RestError."""
    format = _format_of(file, format)
    asked = {"format": format}
    asked |= {name: said for name, said in (("query", query), ("app", app)) if said is not None}
    if file != STANDARD_OUTPUT and file.exists() and not force:
        raise FleetwireError(f"{file} is there already; --force writes over it")
    chunks = client.stream(f"{EXPORT}?{urlencode(asked)}")
    if file == STANDARD_OUTPUT:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        return
    lines = _write(file, chunks)
    # Beside the devices there are a line of names, or two with brackets; an empty list has one.
    count = max(0, lines - {"csv": 1, "json": 2, "ndjson": 0}[format])
    note(f"{count} {'device' if count == 1 else 'devices'} in {file}")


def _format_of(file: Path, format: str | None) -> str:
    said = format or file.suffix.lower().removeprefix(".")
    if said not in FORMATS:
        raise FleetwireError(f"--format says which of {', '.join(FORMATS)} to write, not {said!r}")
    return said


def _write(file: Path, chunks: Iterable[bytes]) -> int:
    """Write beside the file first, so that one that broke off is not taken for all there is."""
    beside = file.with_name(f"{file.name}.part")
    try:
        with beside.open("wb") as out:
            lines = 0
            for chunk in _watched(chunks):
                out.write(chunk)
                lines += chunk.count(b"\n")
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
    except OSError as error:
        raise FleetwireError(f"{file} cannot be written: {error}") from None
    finally:
        beside.unlink(missing_ok=True)
    return lines


def _watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks while a person at the terminal sees how many devices came."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    shown = TextColumn("{task.completed:,.0f} devices")
    with Progress(SpinnerColumn(), shown, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("devices", total=None)
        for chunk in chunks:
            yield chunk
            progress.advance(task, chunk.count(b"\n"))
