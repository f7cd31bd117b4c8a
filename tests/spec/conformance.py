"""Conformance: which statements of the MQTT standards are tested, and where; and the page of it.

    python -m tests.spec.conformance        # writes docs/mqtt-conformance.md anew

The statements stand in `statements_*.toml`. That a test shows one is said by a marker on the test,
which is read from its source: `@pytest.mark.spec311("MQTT-3.1.0-1")`, and `spec` for MQTT 5.0.
"""

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPEC = Path(__file__).parent
REPOSITORY = SPEC.parents[1]
PAGE = REPOSITORY / "docs" / "mqtt-conformance.md"

TESTED, ELSEWHERE, NOT_APPLICABLE = "tested", "elsewhere", "not applicable"

INTRODUCTION = """\
# What of MQTT is tested

One line for each normative statement of MQTT 3.1.1 and 5.0, in our words under the standards' own
numbers, with the tests that show it. Those in [tests/spec](../tests/spec) speak raw packets to the
server; what concerns a client is held against our own, in `fleetwire.net`. Printed by
`python -m tests.spec.conformance`; a test fails when this page, the tests and the lists disagree.
"""


@dataclass(frozen=True)
class Standard:
    """One version of MQTT: its list of statements, and the marker of its tests."""

    title: str
    statements: Path
    marker: str


V311 = Standard("MQTT 3.1.1", SPEC / "statements_v311.toml", "spec311")
V5 = Standard("MQTT 5.0", SPEC / "statements_v5.toml", "spec")


@dataclass(frozen=True)
class Statement:
    """What one numbered statement asks; `reason` says why or where it is not tested here."""

    tag: str
    concerns: str  # server, client or both
    says: str
    status: str
    reason: str


@dataclass(frozen=True, order=True)
class Proof:
    """A test, by its file below the repository and its name."""

    file: str
    name: str


def read_statements(path: Path) -> list[Statement]:
    """Return the statements of one list. Raises KeyError where one is not complete."""
    with path.open("rb") as file:
        entries = tomllib.load(file)
    return [
        Statement(
            tag,
            entry["concerns"],
            entry["says"],
            entry["status"],
            {TESTED: "", ELSEWHERE: entry.get("where", ""), NOT_APPLICABLE: entry.get("why", "")}[
                entry["status"]
            ],
        )
        for tag, entry in entries.items()
    ]


def read_proofs(marker: str) -> dict[str, list[Proof]]:
    """Return the tests that carry each tag in this marker."""
    proofs: dict[str, list[Proof]] = {}
    for path in sorted(SPEC.rglob("test_*.py")):
        file = path.relative_to(REPOSITORY).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for tag in _tags(node, marker):
                    proofs.setdefault(tag, []).append(Proof(file, node.name))
    return proofs


def _tags(test: ast.FunctionDef | ast.AsyncFunctionDef, marker: str) -> Iterator[str]:
    for decorator in test.decorator_list:
        if (
            isinstance(decorator, ast.Call)
            and ast.unparse(decorator.func) == f"pytest.mark.{marker}"
        ):
            for argument in decorator.args:
                yield ast.literal_eval(argument)


def functions_in(file: str) -> set[str]:
    """Return the names of the functions in a file, given by its path below the repository."""
    tree = ast.parse((REPOSITORY / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def page() -> str:
    """Return the text of docs/mqtt-conformance.md."""
    return "\n".join([INTRODUCTION, *part(V311), *part(V5)])


def part(standard: Standard) -> Iterator[str]:
    """Yield the lines of one standard's part of the page."""
    statements = read_statements(standard.statements)
    proofs = read_proofs(standard.marker)
    counts = Counter(statement.status for statement in statements)
    yield f"## {standard.title}\n"
    yield (
        f"{len(statements)} statements: {counts[TESTED]} tested, {counts[ELSEWHERE]} by another "
        f"layer's tests, {counts[NOT_APPLICABLE]} not applicable.\n"
    )
    yield "| | concerns | statement | |\n| --- | --- | --- | --- |"
    for one in statements:
        yield f"| {one.tag} | {one.concerns} | {one.says} | {_how(one, proofs)} |"
    yield ""


def _how(statement: Statement, proofs: dict[str, list[Proof]]) -> str:
    if statement.status == NOT_APPLICABLE:
        return f"not applicable: {statement.reason}"
    if statement.status == ELSEWHERE:
        file, _, name = statement.reason.partition("::")
        return _link(Proof(file, name))
    return "<br>".join(_link(proof) for proof in sorted(set(proofs.get(statement.tag, []))))


def _link(proof: Proof) -> str:
    words = proof.name.removeprefix("test_").replace("_", " ")
    return f"[{words}](../{proof.file})"


if __name__ == "__main__":
    PAGE.write_text(page())
