"""The table of a contract fails where it should."""

from pathlib import Path

import pytest

from tests.apps.contract import fault_of, line, quotes_in, unknown_quotes, unsaid_names

TESTS = '''
def test_health() -> None:
    """«`GET /health` → …» · «(open)»"""

async def test_mute() -> None:
    pass

def helper() -> None:
    """«`GET /health`»"""
'''
WORDS = '`GET /health` → `{status:"ok"}` (open).'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_a.py").write_text(TESTS, encoding="utf-8")
    return tmp_path


def test_a_line_with_a_test_that_quotes_it_is_whole(folder: Path) -> None:
    assert fault_of(line(WORDS, "test_a::test_health", "test_a::test_mute"), folder) is None


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        ((), "No test shows"),
        (("test_a::test_gone",), "There is no test test_a::test_gone"),
        (("test_a::helper",), "There is no test test_a::helper"),
        (("test_a::test_mute",), "None of test_a::test_mute quotes"),
    ],
)
def test_a_line_without_a_test_is_a_fault(folder: Path, tests: tuple[str, ...], fault: str) -> None:
    said = fault_of(line(WORDS, *tests), folder)
    assert said is not None
    assert said.startswith(fault)


def test_a_test_of_another_folder_is_named_with_it(folder: Path) -> None:
    elsewhere = "apps/test_contract_helper::test_quotes_within_quotes_belong_to_them"
    whole = line(WORDS, "test_a::test_health", elsewhere)
    assert fault_of(whole, folder) is None
    gone = line(WORDS, "test_a::test_health", "apps/test_contract_helper::test_gone")
    assert str(fault_of(gone, folder)).startswith("There is no test apps/test_contract_helper")


def test_a_quote_of_other_words_shows_nothing(folder: Path) -> None:
    other = line("`GET /metrics`", "test_a::test_health")
    assert str(fault_of(other, folder)).startswith("None of")
    assert unknown_quotes([other], folder) == [
        "test_a::test_health: `GET /health` → …",
        "test_a::test_health: (open)",
    ]
    assert unknown_quotes([line(WORDS)], folder) == []


def test_what_no_test_of_a_line_names_is_found(folder: Path) -> None:
    (folder / "things.py").write_text("def ask():\n    return '/health', 200\n", encoding="utf-8")
    code = 'def test_a():\n    """«status»"""\n    assert ask()\n'
    (folder / "test_b.py").write_text(code, encoding="utf-8")
    told = line("`GET /health` → `{status}`, 200, 404 for any other", "test_b::test_a")
    assert unsaid_names(told, folder, ["things"]) == ["404", "GET", "status"]
    assert unsaid_names(line("no names", "test_b::test_a"), folder, []) == []


def test_quotes_within_quotes_belong_to_them() -> None:
    assert list(quotes_in("«503 «no broker»» and «404»")) == ["503 «no broker»", "404"]
