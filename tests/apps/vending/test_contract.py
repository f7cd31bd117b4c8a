"""The contract of the vending machines, line by line, with the tests that show each line.

`contract.md` has the contract's own words and the tests under them. A line without a test, or with
one that is not there, does not quote it or does not name what it names, is a fault; so is a word
that is missing, and a quote in a test of this folder that stands in no line.
"""

import ast
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from tests.apps.contract import Line, fault_of, line, unknown_quotes

FOLDER = Path(__file__).parent
# All words of the contract, and of the rules that hold for all, in their order; without headings,
# blanks, `*`, `|`, `#` and `-`.
DIGEST = "f0c8fbe83b4794f88e049c15d65e021bddcc820c95b9a8fba6e0a13c02baaf94"
NAME = re.compile(r"[A-Za-z_]{3,}")
STATUS = re.compile(r"\b[2-5]\d\d\b(?= [`{a-zA-Z(]|;|,|$)")
# Words of a pattern or of a sentence in backticks, and what another app's devices say.
NO_NAMES = {"XXXXXXXX", "YYYYMMDD", "and", "min", "same", "JWT", "recievedAt"}


def lines_of(text: str) -> list[Line]:
    """Return the lines of a contract: words after `>`, and tests after `-`."""
    found = []
    for part in re.split(r"^> ", text, flags=re.MULTILINE)[1:]:
        words, *rest = part.splitlines()
        tests = [each.removeprefix("- ") for each in rest if each.startswith("- ")]
        found.append(line(words, *tests))
    return found


CONTRACT = lines_of((FOLDER / "contract.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("said", CONTRACT, ids=lambda said: said.words[:60])
def test_every_line_has_tests_and_one_of_them_quotes_it(said: Line) -> None:
    assert fault_of(said, FOLDER) is None


@pytest.mark.parametrize("said", CONTRACT, ids=lambda said: said.words[:60])
def test_what_a_line_names_is_in_the_code_of_its_tests(said: Line) -> None:
    """Calls, fields, states and status codes: tests that do not say one do not show it."""
    code = "\n".join(code_of(test) for test in said.tests)
    assert [name for name in names_in(said.words) if name.lower() not in code] == []


def test_no_word_of_the_contract_is_missing() -> None:
    words = "".join(re.sub(r"[\s*|#-]+", "", said.words) for said in CONTRACT)
    assert sha256(words.encode()).hexdigest() == DIGEST


def test_what_the_tests_quote_stands_in_the_contract() -> None:
    assert unknown_quotes(CONTRACT, FOLDER) == []


def names_in(words: str) -> list[str]:
    """Return what stands between backticks, name by name, and status codes."""
    code = " ".join(re.findall(r"`([^`]*)`", words))
    return sorted({*NAME.findall(code), *STATUS.findall(words)} - NO_NAMES)


@cache
def code_of(test: str) -> str:
    """Return the code of a test, with what it uses of its file and of the field, in small letters.

    Docstrings, which quote the contract, are left out.
    """
    stem, _, name = test.partition("::")
    known = pieces_of("field") | pieces_of(stem)
    found: dict[str, str] = {}
    wanted = [name]
    while wanted:
        piece = wanted.pop()
        if piece in known and piece not in found:
            found[piece] = known[piece]
            wanted += re.findall(r"\w+", known[piece])
    return "\n".join(found.values()).lower()


@cache
def pieces_of(stem: str) -> dict[str, str]:
    """Return the code of a file's functions, methods and constants by name."""
    pieces = {}
    module = ast.parse((FOLDER / f"{stem}.py").read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
            pieces[node.name] = ast.unparse(node)
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            pieces[node.targets[0].id] = ast.unparse(node)
    return pieces
