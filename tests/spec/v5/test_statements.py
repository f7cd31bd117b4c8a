"""The list of the statements of MQTT 5.0 and the tests that carry their tags agree."""

import re

import pytest

from tests.spec.conformance import (
    ELSEWHERE,
    NOT_APPLICABLE,
    TESTED,
    V5,
    functions_in,
    read_proofs,
    read_statements,
)

STATEMENTS = {statement.tag: statement for statement in read_statements(V5.statements)}
SECTIONS = {  # how many statements the standard numbers in each of its sections
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": 5, "2.2.2": 1,
    "3.1.0": 2, "3.1.2": 30, "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22,
    "3.3.1": 13, "3.3.2": 20, "3.3.4": 10,
    "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3,
    "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2,
    "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.11.2": 2, "3.11.3": 2,
    "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3, "3.15.1": 1, "3.15.2": 3,
    "4.1.0": 2, "4.2": 1, "4.3.1": 1, "4.3.2": 5, "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6,
    "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6, "4.9.0": 3,
    "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
}  # fmt: skip


def test_every_statement_is_listed_and_none_twice() -> None:
    expected = set()
    for section, count in SECTIONS.items():
        first = 2 if section == "2.2.1" else 1  # the standard has no MQTT-2.2.1-1
        expected |= {(section, number) for number in range(first, first + count)}
    matches = [re.fullmatch(r"MQTT-([\d.]+)-(\d+)", tag) for tag in STATEMENTS]
    assert {(match[1], int(match[2])) for match in matches if match} == expected
    assert len(matches) == len(expected)


def test_a_statement_is_tested_exactly_where_it_says_so() -> None:
    tested = {tag for tag, statement in STATEMENTS.items() if statement.status == TESTED}
    assert read_proofs(V5.marker).keys() == tested


@pytest.mark.parametrize("tag", STATEMENTS)
def test_what_is_not_tested_here_says_why_or_where(tag: str) -> None:
    statement = STATEMENTS[tag]
    assert statement.concerns in ("server", "client", "both")
    assert statement.says
    if statement.concerns != "client":
        assert statement.status == TESTED, "a server can be tested"
    if statement.status == NOT_APPLICABLE:
        assert statement.reason
    if statement.status == ELSEWHERE:
        file, _, name = statement.reason.partition("::")
        assert name in functions_in(file)
