"""How the command line speaks: results on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table


def say(text: str) -> None:
    """Write one line of the result, at once: the reader may be a program."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line beside the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def plain(text: str) -> str:
    """Return a text of somebody else's for a table: no markup, and no orders to a terminal."""
    from rich.markup import escape

    return escape(printable(text.encode()))


def columns(*names: str) -> "Table":
    """Return a table without lines, whose cells are never cut."""
    from rich.table import Table

    table = Table(box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def show(
    items: Sequence[Any],
    cells: Mapping[str, Callable[[Any], str | None]],
    *,
    as_json: bool,
    none: str,
) -> None:
    """Write a list: as JSON, or as a table with these columns; `none` is said of an empty one."""
    if as_json:
        say(json.dumps(items))
        return
    if not items:
        note(none)
        return
    from rich.console import Console

    table = columns(*cells)
    table.columns[0].no_wrap = True  # it is what people copy
    for each in items:
        table.add_row(*(plain(cell(each) or "") for cell in cells.values()))
    Console().print(table)


def progress() -> "Progress":
    """Return a progress display beside the result; it is silent where no person looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def printable(payload: bytes) -> str:
    """Return a payload as one line that cannot give orders to a terminal."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        shown = payload[:32].hex(" ")
        return f"<{len(payload)} bytes: {shown}{' …' if len(payload) > 32 else ''}>"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
