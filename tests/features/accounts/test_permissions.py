"""Roles: each may do what the one below it may, and every permission asked for is somebody's."""

from itertools import count, pairwise
from pathlib import Path

import pytest

import fleetwire
from fleetwire.features.accounts.permissions import PERMISSIONS, ROLES, is_above
from tests.features.accounts.asked_permissions import Parameter, Source, Unknown

_numbers = count()


# What is not to be read out of the source, and where it comes from.
TOLD: dict[str, Parameter | frozenset[str]] = {
    # Whoever begins a job says which permissions it needs; they are stored with it.
    "features/jobs/service.py: row.read": Parameter("begin", "read"),
    "features/jobs/service.py: row.write": Parameter("begin", "write"),
    # What a key is to have is compared with what its maker has: it may be any.
    "features/accounts/key_rules.py: permission": frozenset(),
}


def test_no_permission_is_asked_for_that_nobody_has_or_given_that_nobody_asks_for() -> None:
    source = Source(Path(fleetwire.__file__).parent, "fleetwire", TOLD)
    assert source.permissions() == PERMISSIONS["owner"]
    assert not source.untold, "nobody asks for these any more"


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("def f(c): c.require('a.read')", {"a.read"}),
        ("A = 'a.read'\ndef f(c): c.require(A)", {"a.read"}),
        ("A = {1: 'a.read', 2: 'a.write'}\ndef f(c, x): c.require(A[x])", {"a.read", "a.write"}),
        ("def f(c): return 'a.read' in c.permissions", {"a.read"}),
        (
            "A = {1: 'a.read'}\ndef f(permissions): [n for n, p in A.items() if p in permissions]",
            {"a.read"},
        ),
        ("A = ('a.read', 'b.read')\ndef f(c):\n  for p in A: c.require(p)", {"a.read", "b.read"}),
        ("def f(c, x): c.require('a.read' if x else 'b.read')", {"a.read", "b.read"}),
        (
            "def f(c, p): c.require(p)\ndef g(c): f(c, 'a.read'); f(c, p='b.read')",
            {"a.read", "b.read"},
        ),
        ("class A:\n  def f(self, p): c.require(p)\ndef g(a): a.f('a.read')", {"a.read"}),
        ("def f(c, *, p): c.require(p)\ndef g(c):\n  q = 'a.read'\n  f(c, p=q)", {"a.read"}),
    ],
)
def test_a_permission_is_found_however_it_is_asked_for(
    code: str, asked: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _source(code, tmp_path, monkeypatch).permissions() == asked


@pytest.mark.parametrize(
    "code",
    [
        "def f(c, row): c.require(row.read)",
        "def f(c, p): c.require(p)",  # nobody calls it
        "def f(c, p): c.require(p)\ndef g(c, row): f(c, row.read)",
        "def f(c):\n  for p in c: c.require(p)",
        "A = {'a.read': 1}\ndef f(c):\n  for p in A: c.require(p)",
        "def f(c): c.require(str(c))",
        "def f(c, p): return p not in c.permissions",
    ],
)
def test_what_nobody_can_say_does_not_pass_silently(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unknown, match=r"part\.py: "):
        _source(code, tmp_path, monkeypatch).permissions()


def _source(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    package = f"asking_{next(_numbers)}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    (folder / package / "part.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    return Source(folder / package, package, {})


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
