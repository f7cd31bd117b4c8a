"""`fleetwire backup`, `restore` and `migrate --check`, as a person runs them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleetwire.store import preflight
from tests.cli.conftest import Run


def test_a_backup_is_checked_and_restored(run: Run, tmp_path: Path) -> None:
    assert run("migrate", "--data-dir", "old").status == 0
    made = run("backup", "copy.zip", "--data-dir", "old")
    assert made.status == 0, made.err
    assert "sha256" in made.out
    assert "It holds secrets" in made.err
    checked = run("restore", "copy.zip", "--verify")
    assert (checked.status, "The archive is whole" in checked.out) == (0, True)
    assert not (tmp_path / "data").exists()
    assert run("restore", "copy.zip", "--data-dir", "new").status == 0
    assert (tmp_path / "new" / "fleetwire.db").exists()
    assert run("migrate", "--check", "--data-dir", "new").out.endswith("up to date.\n")


def test_a_second_backup_of_the_same_name_is_refused(run: Run) -> None:
    run("migrate", "--data-dir", "old")
    assert run("backup", "copy.zip", "--data-dir", "old").status == 0
    refused = run("backup", "copy.zip", "--data-dir", "old")
    assert (refused.status, "not overwritten" in refused.err) == (1, True)


def test_a_restore_needs_force_where_something_is_and_keeps_it(run: Run, tmp_path: Path) -> None:
    run("migrate", "--data-dir", "old")
    run("backup", "copy.zip", "--data-dir", "old")
    refused = run("restore", "copy.zip", "--data-dir", "old")
    assert (refused.status, "is not empty" in refused.err) == (1, True)
    forced = run("restore", "copy.zip", "--data-dir", "old", "--force")
    assert forced.status == 0, forced.err
    (kept,) = (tmp_path / "old").glob("before-restore-*")
    assert (kept / "fleetwire.db").exists()


def test_a_restore_without_a_folder_asks_for_one(run: Run) -> None:
    assert run("restore", "copy.zip").status == 2


def test_what_is_no_archive_is_refused_and_leaves_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "copy.zip").write_text("not a backup")
    refused = run("restore", "copy.zip", "--data-dir", "new")
    assert (refused.status, "no backup of Fleetwire" in refused.err) == (1, True)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"fleetwire.lock"}


def test_a_check_names_what_is_missing_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    checked = run("migrate", "--check", "--data-dir", "none")
    assert checked.status == 0
    assert "platform: at nothing yet, to apply: 0001_first" in checked.out
    assert not (tmp_path / "none").exists()


def test_a_check_fails_where_there_is_no_room(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    with closing(sqlite3.connect(tmp_path / "full" / "fleetwire.db")) as database:
        database.execute("CREATE TABLE other (id INTEGER)")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage())
    checked = run("migrate", "--check", "--data-dir", "full")
    assert (checked.status, "not enough room" in checked.out) == (1, True)


def test_a_database_outside_the_data_folder_is_not_restored_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate", "--data-dir", "old")
    run("backup", "copy.zip", "--data-dir", "old")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/elsewhere.db")
    refused = run("restore", "copy.zip", "--data-dir", "new")
    assert (refused.status, "DATABASE_URL" in refused.err) == (2, True)
    assert not (tmp_path / "new").exists()
