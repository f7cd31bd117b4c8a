"""The door: what apps may import, and what is written of it."""

import re
from pathlib import Path

import fleetwire.kit as kit
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS
from fleetwire.kit.caller import EVERYTHING

GUIDE = Path(__file__).parents[2] / "docs" / "apps.md"


def test_every_name_that_the_guide_speaks_of_can_be_imported() -> None:
    named = set(re.findall(r"`([A-Z]\w+)[`.(\[]", GUIDE.read_text())) - {
        "FLEETWIRE_MODE",
        "TestHub",
    }
    assert len(named) > 20
    assert {name for name in named if not hasattr(kit, name)} == set()


def test_everything_that_is_exported_is_there() -> None:
    assert [name for name in kit.__all__ if not hasattr(kit, name)] == []


def test_the_house_may_do_what_an_owner_may() -> None:
    assert PERMISSIONS[OWNER] == EVERYTHING
