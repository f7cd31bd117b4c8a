"""The benchmark runs to its end and finds everything it was promised. Its speed is not judged."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bench.ingest.load import Published
from bench.ingest.plan import compare
from tests.house import House

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RUN_TIMEOUT_S = 100


@pytest.mark.slow
@pytest.mark.needs_cc
@pytest.mark.timeout(RUN_TIMEOUT_S + 20)
def test_a_quick_run_finds_every_acknowledged_message_once(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.ingest", "--quick", "--json", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["fleetwire"]["idle"]["connections"] == result["plan"]["connections"]
    for load in result["kept"]:
        assert load["rows"] == load["acknowledged"] > 0


def test_a_lost_and_a_duplicated_message_are_told(tmp_path: Path) -> None:
    house = HouseWithRows(tmp_path, rows=[(1, 0.0), (1, 1.0), (1, 1.0), (2, 0.0)])
    kept = compare(house, "load", published(sent=4, acknowledged=4))
    assert (kept.lost, kept.duplicated, kept.complete) == (1, 1, False)


def test_a_message_stored_before_its_acknowledgement_arrived_is_no_error(tmp_path: Path) -> None:
    house = HouseWithRows(tmp_path, rows=[(1, 0.0), (2, 0.0)])
    assert compare(house, "load", published(sent=2, acknowledged=1)).complete


class HouseWithRows(House):
    """A house that never starts, over a database with these (device, number) pairs."""

    def __init__(self, folder: Path, rows: list[tuple[int, float]]) -> None:
        super().__init__(folder)
        self._rows = rows

    def select(self, statement: str, *parameters: object) -> list[tuple[int, int]]:
        with closing(sqlite3.connect(":memory:")) as database:
            database.execute("CREATE TABLE metrics (id INTEGER, name TEXT)")
            database.execute("CREATE TABLE readings (device INTEGER, metric INTEGER, number REAL)")
            database.execute("INSERT INTO metrics VALUES (1, 'load')")
            database.executemany("INSERT INTO readings VALUES (?, 1, ?)", self._rows)
            return database.execute(statement, parameters).fetchall()


def published(sent: int, acknowledged: int) -> Published:
    return Published(sent, acknowledged, 0, 0, 0, 0, 0, 0)
