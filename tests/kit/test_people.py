"""What an app's names for roles stand for."""

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.accounts import permissions
from fleetwire.kit import RoleNames
from fleetwire.kit.people import ROLES


def test_the_kit_knows_the_roles_that_there_are_in_their_order() -> None:
    assert ROLES == permissions.ROLES


def test_an_apps_name_stands_for_a_role_of_ours() -> None:
    names = RoleNames({"ADMIN": "administrator", "STAFF": "operator"})
    assert names.ours("STAFF") == "operator"
    with pytest.raises(InvalidValueError, match="role must be one of ADMIN, STAFF") as refused:
        names.ours("staff")
    assert refused.value.field == "role"


@pytest.mark.parametrize(
    ("role", "name"),
    [("owner", "ADMIN"), ("administrator", "ADMIN"), ("operator", "STAFF"), ("viewer", "STAFF")],
)
def test_every_role_has_a_name_in_the_app_that_is_not_above_it(role: str, name: str) -> None:
    assert RoleNames({"ADMIN": "administrator", "STAFF": "operator"}).theirs(role) == name


@pytest.mark.parametrize("ours", [{}, {"ADMIN": "root"}])
def test_a_name_that_stands_for_nothing_is_a_mistake_of_the_app(ours: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="are no roles"):
        RoleNames(ours)
