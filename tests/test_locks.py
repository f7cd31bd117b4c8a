"""The locks pin all that pyproject.toml asks for, and do not say where it came from."""

import json
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ADDRESS = re.compile(r"://|^-|file:", re.MULTILINE)


def asked_for(requirements: list[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


def pinned(lock: str) -> dict[str, str]:
    text = (REPOSITORY / "requirements" / lock).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt"])
def test_a_lock_carries_no_address(lock: str) -> None:
    assert not ADDRESS.search((REPOSITORY / "requirements" / lock).read_text())


def test_everything_asked_for_is_pinned() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = asked_for(project["dependencies"])
    assert needed <= pinned("run.txt").keys()
    assert needed | asked_for(project["optional-dependencies"]["dev"]) <= pinned("dev.txt").keys()


def test_both_locks_agree() -> None:
    assert pinned("run.txt").items() <= pinned("dev.txt").items()


def test_the_node_lock_names_no_registry() -> None:
    packages = json.loads((REPOSITORY / "tests/node/package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
