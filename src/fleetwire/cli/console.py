"""How the command line speaks: results on standard output, everything else on standard error."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
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
