"""`fleetwire accounts reset-owner`, on a data folder that no server holds."""

import asyncio
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleetwire.features.accounts.passwords import Passwords
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.audit.service import SqlAudit
from fleetwire.runtime.lifecycle import DataFolder
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate
from tests.cli.conftest import Run

SECRET = "the secret of the tests, which is long enough"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder in which a server has run once."""
    folder = tmp_path / "data"
    folder.mkdir()

    async def first_start() -> None:
        async with Opened(folder) as accounts:
            assert await accounts.bootstrap() is not None

    migrate(_url(folder))
    asyncio.run(first_start())
    return folder


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'fleetwire.db'}"


class Opened:
    """The accounts over a data folder."""

    def __init__(self, folder: Path) -> None:
        self._database = Database(_url(folder))

    async def __aenter__(self) -> Accounts:
        self._database.open()
        quick = Passwords(memory_kib=64, time_cost=1)
        return Accounts(self._database, SECRET, SqlAudit(self._database), passwords=quick)

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()


async def _sign_in(folder: Path, username: str, password: str) -> str:
    async with Opened(folder) as accounts:
        assert await accounts.bootstrap() is None
        return (await accounts.login(username, password, "192.0.2.7")).account.role


def _stored(folder: Path) -> list[object]:
    """What the database has of people and of what was done."""
    with closing(sqlite3.connect(folder / "fleetwire.db")) as database:
        accounts = database.execute("SELECT * FROM accounts").fetchall()
        return [*accounts, *database.execute("SELECT * FROM audit").fetchall()]


def test_it_prints_a_login_that_is_good(data_dir: Path, run: Run) -> None:
    outcome = run("accounts", "reset-owner", "--data-dir", data_dir, "--yes")
    assert outcome.status == 0, outcome.err
    username, password = outcome.out.split()
    assert username == "admin"
    assert "'Default'" in outcome.err
    assert asyncio.run(_sign_in(data_dir, username, password)) == "owner"


def test_it_asks_first_and_does_nothing_without_a_yes(
    data_dir: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    before = _stored(data_dir)
    outcome = run("accounts", "reset-owner", "--data-dir", data_dir)
    assert (outcome.status, outcome.out.strip()) == (1, "")
    assert "Go on?" in outcome.err
    assert _stored(data_dir) == before


def test_it_waits_for_the_server_to_be_stopped(data_dir: Path, run: Run) -> None:
    with DataFolder(data_dir):
        outcome = run("accounts", "reset-owner", "--data-dir", data_dir, "--yes")
    assert outcome.status == 2
    assert "Another Fleetwire is running" in outcome.err


def test_where_no_server_has_run_it_says_so_and_leaves_nothing(tmp_path: Path, run: Run) -> None:
    outcome = run("accounts", "reset-owner", "--data-dir", tmp_path / "nowhere", "--yes")
    assert outcome.status == 2
    assert "There is no data folder" in outcome.err
    assert not (tmp_path / "nowhere").exists()


def test_who_is_no_owner_is_told_who_is(data_dir: Path, run: Run) -> None:
    outcome = run("accounts", "reset-owner", "ann", "--data-dir", data_dir, "--yes")
    assert outcome.status == 1
    assert "one of: admin" in outcome.err
