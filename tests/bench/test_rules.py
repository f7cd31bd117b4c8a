"""The benchmark of rules runs to its end and finds that chains ran. Its speed is not judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RUN_TIMEOUT_S = 100


@pytest.mark.slow
@pytest.mark.needs_cc
@pytest.mark.timeout(RUN_TIMEOUT_S + 20)
def test_a_quick_run_wakes_the_chains_that_are_named_and_no_others(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.rules", "--quick", "--json", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    (beside,) = result["beside"]
    assert beside["runs"] > 0
    assert beside["woken_wrongly"] == 0
