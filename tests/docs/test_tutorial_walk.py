"""docs/tutorial: its last part does what it says, with the app installed as it says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_walkthrough import ROOT, TIMEOUT_S, is_as_shown, run, steps
from tests.house import House

TUTORIAL = ROOT / "docs" / "tutorial"


@pytest.fixture
def coffee_house(tmp_path: Path) -> Iterator[House]:
    """A server that finds the coffee app by its entry point, as if pip had installed it."""
    installed = tmp_path / "installed" / "coffee-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: coffee\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[fleetwire.apps]\ncoffee = coffee:app\n")
    told = 'entry-points."fleetwire.apps"]\ncoffee = "coffee:app"\n'
    assert told in (TUTORIAL / "pyproject.toml").read_text()
    path = os.pathsep.join((str(installed.parent), str(TUTORIAL)))
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    house = House(tmp_path, apps=("coffee",), environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 30)
def test_each_command_of_the_tutorial_does_what_is_shown(
    coffee_house: House, tmp_path: Path
) -> None:
    here = f"127.0.0.1:{coffee_house.app_ports['coffee']}"
    text = (TUTORIAL / "README.md").read_text().replace("localhost:3010", here)
    results = run(coffee_house, tmp_path, text)
    assert len(results) == len(steps(text)) == 10
    wrong = [
        f"$ {command}\nstatus {status}\n{output}\ninstead of\n{shown}"
        for (command, shown), (status, output) in zip(steps(text), results, strict=True)
        if status != 0 or not is_as_shown(output, shown)
    ]
    assert wrong == [], "\n\n".join(wrong)
