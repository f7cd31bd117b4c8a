"""What the documentation says must be so."""

import re
from pathlib import Path

from fleetwire.settings import KNOWN, VARIABLES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for variable in VARIABLES:
        assert f"`{variable}`" in text, f"{variable} is missing in docs/settings.md"
    for name in KNOWN:
        assert f"`{name}`" in text or f"`[{name}]`" in text, f"{name} is missing"


def test_no_setting_is_documented_that_does_not_exist() -> None:
    for document in DOCUMENTS:
        for variable in re.findall(r"`(FLEETWIRE_[A-Z_]+)", document.read_text()):
            assert variable in VARIABLES, f"{document.name} speaks of {variable}"


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
