"""docs/devices.md does what it says, against a real server."""

from pathlib import Path

import pytest

from tests.docs.test_walkthrough import ROOT, TIMEOUT_S, is_as_shown, run, steps
from tests.house import House

TEXT = (ROOT / "docs" / "devices.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 30)
def test_each_command_about_devices_does_what_is_shown(house: House, tmp_path: Path) -> None:
    results = run(house, tmp_path, TEXT)
    assert len(results) == len(steps(TEXT)) > 20
    wrong = [
        f"$ {command}\nstatus {status}\n{output}\ninstead of\n{shown}"
        for (command, shown), (status, output) in zip(steps(TEXT), results, strict=True)
        if status != 0 or not is_as_shown(output, shown)
    ]
    assert wrong == [], "\n\n".join(wrong)
