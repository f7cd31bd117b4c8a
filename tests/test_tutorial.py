"""The tutorial: what it shows is what its files say, and its test passes as it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial"
MOST_LINES = 60


def test_the_app_is_as_small_as_the_tutorial_says() -> None:
    assert len((TUTORIAL / "coffee.py").read_text().splitlines()) < MOST_LINES


def test_what_the_tutorial_shows_stands_in_its_files() -> None:
    text = (TUTORIAL / "README.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    files = [(TUTORIAL / name).read_text() for name in ("coffee.py", "test_coffee.py")]
    assert len(shown) == 6
    for block in shown:
        assert any(block in file for file in files), block


def test_the_tutorial_leaves_no_part_of_the_app_unsaid() -> None:
    shown = "".join(re.findall(r"```python\n(.*?)```", (TUTORIAL / "README.md").read_text(), re.S))
    code = (TUTORIAL / "coffee.py").read_text()
    unsaid = [line for line in code.splitlines() if line.strip() and line not in shown]
    assert all(line.startswith('"""') for line in unsaid), unsaid


@pytest.mark.slow
def test_the_tutorials_own_test_passes(tmp_path: Path) -> None:
    folder = tmp_path / "coffee"
    shutil.copytree(TUTORIAL, folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
