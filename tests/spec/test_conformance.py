"""The page of what is tested is the one that the lists and the tests make."""

import pytest

from tests.spec.conformance import (
    PAGE,
    V5,
    V311,
    Standard,
    page,
    part,
    read_proofs,
    read_statements,
)


def test_the_committed_page_is_what_lists_and_tests_say() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.spec.conformance"


@pytest.mark.parametrize("standard", [V311, V5], ids=lambda standard: standard.title)
def test_the_page_has_a_line_for_each_statement_and_names_each_of_its_tests(
    standard: Standard,
) -> None:
    lines = {line.split(" | ")[0]: line for line in part(standard)}
    proofs = read_proofs(standard.marker)
    for statement in read_statements(standard.statements):
        line = lines[f"| {statement.tag}"]
        assert line.count(" | ") == 3, "a bar in the words would break the table"
        assert statement.says in line
        for proof in proofs.get(statement.tag, []):
            assert proof.file in line
