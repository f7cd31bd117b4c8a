"""A backup is whole or not there, and only a whole one is restored."""

import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fleetwire.store import backup
from fleetwire.store.backup import BackupError, Manifest, back_up
from fleetwire.store.migrate import migrate
from fleetwire.store.restore import check_target, restore, unpack


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with a migrated database that holds 500 notes, and a secret."""
    folder = tmp_path / "data"
    folder.mkdir()
    migrate(f"sqlite:///{folder}/fleetwire.db")
    with closing(sqlite3.connect(folder / "fleetwire.db")) as database, database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        texts = [(f"note {number} " * 500,) for number in range(500)]
        database.executemany("INSERT INTO notes (text) VALUES (?)", texts)
    (folder / "jwt.secret").write_text("s" * 64)
    return folder


def make(data_dir: Path, archive: Path, progress: backup.Progress = silent) -> Manifest:
    return back_up(data_dir / "fleetwire.db", data_dir, archive, version="1.0", progress=progress)


@pytest.fixture
def archive(data_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "backup.zip"
    make(data_dir, path)
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def altered(archive: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write the archive anew after a change to its files, by name."""
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    change(files)
    path = archive.with_name("altered.zip")
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def test_what_is_restored_is_what_was_backed_up(archive: Path, empty: Path, tmp_path: Path) -> None:
    manifest = unpack(archive, empty, silent)
    assert manifest.rows["notes"] == 500
    assert manifest.revisions == {"alembic_version": max_revision(empty)}
    new = tmp_path / "new"
    new.mkdir()
    assert restore(archive, new, empty) is None
    assert (new / "jwt.secret").read_text() == "s" * 64
    with closing(sqlite3.connect(new / "fleetwire.db")) as database:
        assert database.execute("SELECT count(*) FROM notes").fetchone() == (500,)
    assert migrate(f"sqlite:///{new}/fleetwire.db") == []


def max_revision(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "fleetwire.db")) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_only_its_owner_can_read_an_archive_and_nothing_is_left_beside_it(
    archive: Path, tmp_path: Path
) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"data", "backup.zip"}


def test_an_archive_is_never_overwritten(data_dir: Path, archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupError, match="exists and is not overwritten"):
        make(data_dir, archive)
    assert archive.read_bytes() == before


def test_a_file_that_appears_meanwhile_is_not_overwritten(data_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "late.zip"

    def come_between(what: str, done: int, total: int) -> None:
        archive.write_text("mine")

    with pytest.raises(BackupError, match="has appeared meanwhile"):
        make(data_dir, archive, come_between)
    assert archive.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "late.zip"}


def test_what_is_committed_while_it_copies_neither_enters_nor_restarts_it(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES_PER_STEP", 16)
    steps = []
    with closing(sqlite3.connect(data_dir / "fleetwire.db")) as database:

        def write_on(what: str, done: int, total: int) -> None:
            if what == "copying the database":
                steps.append(done)
                database.execute("INSERT INTO notes (text) VALUES ('during')")
                database.commit()

        manifest = make(data_dir, tmp_path / "backup.zip", write_on)
        written = database.execute("SELECT count(*) FROM notes").fetchone()[0]
    assert len(steps) > 5
    assert steps == sorted(steps)
    assert manifest.rows["notes"] == 500
    assert written == 500 + len(steps)


def test_a_damaged_database_is_not_backed_up(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "fleetwire.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)
    with pytest.raises(BackupError, match="damaged"):
        make(data_dir, tmp_path / "backup.zip")
    assert {each.name for each in tmp_path.iterdir()} == {"data"}


def test_a_folder_without_a_database_is_refused(empty: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="There is no database"):
        make(empty, tmp_path / "backup.zip")
    assert not (empty / "fleetwire.db").exists()


def test_a_full_disk_is_said_before_anything_is_written(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda path: type("U", (), {"free": 1000})())
    with pytest.raises(BackupError, match=r"1,000 bytes free; the backup may need \d"):
        make(data_dir, tmp_path / "backup.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def change_secret(files: dict[str, bytes]) -> None:
    files["jwt.secret"] = b"t" * 64


def grow_secret(files: dict[str, bytes]) -> None:
    files["jwt.secret"] += b"s"


def add_stranger(files: dict[str, bytes]) -> None:
    files["../evil"] = b"x"


def lose_secret(files: dict[str, bytes]) -> None:
    del files["jwt.secret"]


def break_manifest(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"{}"


def manifest_with(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"]) | changes
        files["manifest.json"] = json.dumps(manifest).encode()

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_secret, "jwt.secret is not what was archived"),
        (grow_secret, "jwt.secret is larger than the manifest says"),
        (add_stranger, "it holds other files"),
        (lose_secret, "does not hold the files"),
        (break_manifest, "The manifest is damaged"),
        (manifest_with(format=2), "format 2"),
        (manifest_with(revisions={}), "the schema is not the one"),
        (manifest_with(rows={"notes": 501}), "where the manifest says"),
    ],
)
def test_an_altered_archive_is_refused(
    archive: Path, empty: Path, change: Callable[[dict[str, bytes]], None], reason: str
) -> None:
    with pytest.raises(BackupError, match=reason):
        unpack(altered(archive, change), empty, silent)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_cut_archive_is_refused(archive: Path, empty: Path, part: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(BackupError):
        unpack(archive, empty, silent)


def test_an_archive_with_a_flipped_byte_is_refused(archive: Path, empty: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(BackupError):
        unpack(archive, empty, silent)


def test_a_folder_that_is_not_empty_needs_force(data_dir: Path, empty: Path) -> None:
    check_target(empty, force=False)
    (empty / "fleetwire.lock").touch()  # whoever holds the folder has made it
    check_target(empty, force=False)
    with pytest.raises(BackupError, match="not empty"):
        check_target(data_dir, force=False)
    check_target(data_dir, force=True)


def test_what_was_there_is_kept_and_its_log_does_not_enter_the_new_database(
    archive: Path, empty: Path, data_dir: Path
) -> None:
    unpack(archive, empty, silent)
    (data_dir / "fleetwire.db-wal").write_bytes(b"of another database")
    old = (data_dir / "fleetwire.db").read_bytes()
    kept = restore(archive, data_dir, empty)
    assert kept is not None
    assert (kept / "fleetwire.db").read_bytes() == old
    assert (kept / "fleetwire.db-wal").read_bytes() == b"of another database"
    assert not (data_dir / "fleetwire.db-wal").exists()
