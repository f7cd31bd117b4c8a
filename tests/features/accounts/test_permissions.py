"""Roles: each may do what the one below it may, and every permission asked for is somebody's."""

import ast
import importlib
from itertools import pairwise
from pathlib import Path

import pytest

import fleetwire
from fleetwire.features.accounts.permissions import PERMISSIONS, ROLES, is_above


def asked_for() -> set[str]:
    """Return every permission that the source asks for: `require("…")`, or by its constant.

    What is asked for by a variable, somebody else has named.
    """
    found: set[str] = set()
    root = Path(fleetwire.__file__).parent
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "require":
                continue
            (wanted,) = node.args
            if isinstance(wanted, ast.Constant):
                found.add(str(wanted.value))
            elif isinstance(wanted, ast.Name) and wanted.id.isupper():
                inside = path.relative_to(root).with_suffix("").parts
                module = importlib.import_module(".".join(("fleetwire", *inside)))
                found.add(str(getattr(module, wanted.id)))
    return found


def test_no_permission_is_asked_for_that_nobody_has_or_given_that_nobody_asks_for() -> None:
    assert asked_for() == PERMISSIONS["owner"]


def test_each_role_may_do_what_the_one_below_may() -> None:
    for lower, higher in pairwise(ROLES):
        assert PERMISSIONS[lower] <= PERMISSIONS[higher]


def test_a_viewer_changes_nothing() -> None:
    assert {permission.rpartition(".")[2] for permission in PERMISSIONS["viewer"]} == {"read"}


@pytest.mark.parametrize("permission", ["account.manage", "device.write", "audit.read"])
def test_an_operator_does_not_administer(permission: str) -> None:
    assert permission not in PERMISSIONS["operator"]
    assert permission in PERMISSIONS["administrator"]


def test_roles_stand_above_each_other_in_one_order() -> None:
    assert ROLES == ("viewer", "operator", "administrator", "owner")
    for lower, higher in pairwise(ROLES):
        assert is_above(higher, lower)
        assert not is_above(lower, higher)
        assert not is_above(lower, lower)
