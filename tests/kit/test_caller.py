"""Whose rights a change is about."""

import pytest

from fleetwire.kit import Caller


@pytest.mark.parametrize(
    ("actor", "identity", "is_same"),
    [
        ("account:1", "account:1", True),
        ("account:1", "account:17", False),
        ("key:5/gateway", "key:5/gateway", True),
        ("key:5", "key:5/gateway", True),
        ("key:5/gateway", "key:5", True),
        ("key:5/gateway", "key:51/gateway", False),
        ("device:medical/one", "device:medical/two", False),
    ],
)
def test_an_identity_is_known_also_by_its_number_alone(
    actor: str, identity: str, is_same: bool
) -> None:
    assert Caller(actor, 1, frozenset()).is_identity(identity) is is_same
