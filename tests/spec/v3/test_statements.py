"""The list of the statements of MQTT 3.1.1 and the tests that carry their tags agree."""

import re

import pytest

from tests.spec.conformance import (
    ELSEWHERE,
    NOT_APPLICABLE,
    TESTED,
    V311,
    functions_in,
    read_proofs,
    read_statements,
)

STATEMENTS = {statement.tag: statement for statement in read_statements(V311.statements)}
SECTIONS = {  # how many statements the standard numbers in each of its sections
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7,
    "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5,
    "3.2.0": 1, "3.2.2": 6,
    "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2,
    "3.6.1": 1,
    "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2,
    "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
    "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
    "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6,
    "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2,
    "6.0.0": 4, "7.0.0": 2,
}  # fmt: skip


def test_every_statement_is_listed_and_none_twice() -> None:
    numbered = {
        (section, number) for section, count in SECTIONS.items() for number in range(1, count + 1)
    }
    listed = [re.fullmatch(r"MQTT-(\d+\.\d+\.\d+)[-.](\d+)", _dashed(tag)) for tag in STATEMENTS]
    assert None not in listed
    found = [(match[1], int(match[2])) for match in listed if match]
    assert sorted(found) == sorted(numbered)


def test_a_statement_is_tested_exactly_where_it_says_so() -> None:
    tested = {tag for tag, statement in STATEMENTS.items() if statement.status == TESTED}
    assert read_proofs(V311.marker).keys() == tested


@pytest.mark.parametrize("tag", STATEMENTS)
def test_what_is_not_tested_here_says_why_or_where(tag: str) -> None:
    statement = STATEMENTS[tag]
    assert statement.concerns in ("server", "client", "both")
    assert statement.says
    if statement.status == NOT_APPLICABLE:
        assert statement.reason
    if statement.status == ELSEWHERE:
        file, _, name = statement.reason.partition("::")
        assert name in functions_in(file)
    if statement.concerns == "client":
        assert statement.status != TESTED, "the tests here are of the server"


def _dashed(tag: str) -> str:
    """Return the tag without the one slip of the standard: MQTT-3.1.2.7 is 3.1.2-7."""
    return "MQTT-3.1.2-7" if tag == "MQTT-3.1.2.7" else tag
