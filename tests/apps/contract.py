"""A contract as a table: each of its lines in its own words, with the tests that show it.

`fault_of` says what a line lacks: a test, a test that is there, or one that quotes it. A test
quotes a line when its docstring has a part of it between « and »; … leaves something out.
`unknown_quotes` finds what tests quote that stands in no line.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Docstrings = dict[str, str]
TESTS = Path(__file__).parents[1]
_CODE = re.compile(r"`([^`]*)`")
_NAME = re.compile(r"[A-Za-z_]{3,}")
_STATUS = re.compile(r"\b[2-5]\d\d\b(?= [`{a-zA-Z(«]|[,;/.]|$)")


@dataclass(frozen=True)
class Line:
    """Words of a contract, and tests by `file::name`.

    Files are those of the app's folder; one of another folder is named as from `tests`, such as
    `cli/test_doctor::test_a_taken_port_names_the_setting`.
    """

    words: str
    tests: tuple[str, ...]


def line(words: str, *tests: str) -> Line:
    """Return a line of a table."""
    return Line(words, tests)


def fault_of(line: Line, folder: Path) -> str | None:
    """Return what the line lacks, None = nothing."""
    if not line.tests:
        return f"No test shows: {line.words}"
    known = docstrings_in(folder) | _of_elsewhere(line.tests)
    missing = [each for each in line.tests if each not in known]
    if missing:
        return f"There is no test {', '.join(missing)}"
    quotes = [quote for each in line.tests for quote in quotes_in(known[each])]
    if not any(_is_part(quote, [line]) for quote in quotes):
        return f"None of {', '.join(line.tests)} quotes: {line.words}"
    return None


def unknown_quotes(lines: Sequence[Line], folder: Path) -> list[str]:
    """Return what tests of the folder quote that stands in no line of the contract."""
    return [
        f"{test}: {quote}"
        for test, docstring in docstrings_in(folder).items()
        for quote in quotes_in(docstring)
        if not _is_part(quote, lines)
    ]


@cache
def docstrings_in(folder: Path) -> Docstrings:
    """Return the docstrings of the folder's tests by `file::name`, "" for a test without one."""
    return {
        f"{path.stem}::{function.name}": ast.get_docstring(function) or ""
        for path in sorted(folder.glob("test_*.py"))
        for function in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name.startswith("test_")
    }


def _of_elsewhere(tests: Sequence[str]) -> Docstrings:
    found: Docstrings = {}
    for each in tests:
        where, _, _ = each.rpartition("/")
        if where:
            docstrings = docstrings_in(TESTS / where)
            found |= {f"{where}/{name}": said for name, said in docstrings.items()}
    return found


def quotes_in(docstring: str) -> Iterator[str]:
    """Give what stands between « and », the outermost ones where they are nested."""
    depth = began = 0
    for at, letter in enumerate(docstring):
        if letter == "«":
            depth += 1
            began = at + 1 if depth == 1 else began
        elif letter == "»":
            depth -= 1
            if depth == 0:
                yield docstring[began:at]


def _is_part(quote: str, lines: Iterable[Line]) -> bool:
    pieces = [_plain(piece) for piece in quote.split("…")]
    return any(all(piece in _plain(line.words) for piece in pieces) for line in lines)


def _plain(words: str) -> str:
    return " ".join(words.replace("*", "").split()).strip(" .,;`")


def unsaid_names(line: Line, folder: Path, helpers: Sequence[str]) -> list[str]:
    """Return the names in backticks and status codes of a line that the code of its tests lacks.

    The code of a test is with it what it uses of its own file and of the folder's helpers.
    """
    names = {*_NAME.findall(" ".join(_CODE.findall(line.words))), *_STATUS.findall(line.words)}
    code = "\n".join(_code_of(folder, each, tuple(helpers)) for each in line.tests).lower()
    return sorted(name for name in names if name.lower() not in code)


@cache
def _code_of(folder: Path, test: str, helpers: tuple[str, ...]) -> str:
    where, _, local = test.rpartition("/")
    stem, _, name = local.partition("::")
    home = TESTS / where if where else folder
    known: dict[str, str] = {}
    for helper in helpers:
        known |= _pieces_of(folder / f"{helper}.py")
    known |= _pieces_of(home / f"{stem}.py")
    found: dict[str, str] = {}
    wanted = [name]
    while wanted:
        piece = wanted.pop()
        if piece in known and piece not in found:
            found[piece] = known[piece]
            wanted += re.findall(r"\w+", known[piece])
    return "\n".join(found.values())


@cache
def _pieces_of(path: Path) -> dict[str, str]:
    """Return the code of a file's functions, methods and constants by name, without docstrings."""
    pieces = {}
    module = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
            pieces[node.name] = ast.unparse(node)
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                pieces[target.id] = ast.unparse(node)
    return pieces
