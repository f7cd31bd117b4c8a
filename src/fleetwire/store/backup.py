"""Backup: one archive of the database and the secrets that go with it, made while a server runs.

The database is copied with SQLite's online backup inside one read transaction: a snapshot. The
server goes on writing meanwhile, and what it commits after the snapshot is not in the copy. What
was acknowledged before the backup began is. The write-ahead log cannot shrink until the copy is
done.

The archive is a ZIP file, mode 0600 because it holds secrets: `manifest.json`, `fleetwire.db`,
and the secret files that the data folder has. It appears under its name only when it is whole.

Does not: copy certificates, `fleetwire.toml` or other files outside the data folder, or databases
other than SQLite, which have tools of their own.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from fleetwire.errors import FleetwireError

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "fleetwire.db"
SECRETS = ("jwt.secret", "bridge.id")
LAST = "last-backup"  # in the data folder: its time is that of the last backup
CHUNK_BYTES = 1024 * 1024
PAGES_PER_STEP = 2048  # 8 MiB of pages of 4 KiB between two reports of progress
BUSY_TIMEOUT_S = 5.0

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


class BackupError(FleetwireError):
    """A backup or a restore cannot be done; the text says why and what to do."""


class ArchivedFile(msgspec.Struct, forbid_unknown_fields=True):
    """A file of the archive. `bytes` is its size before compression, `sha256` is in hex."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What an archive holds. `rows` counts by table, `revisions` are by version table."""

    format: int
    version: str
    created_at: int
    files: list[ArchivedFile]
    rows: dict[str, int]
    revisions: dict[str, str]


def back_up(
    database: Path, data_dir: Path, archive: Path, *, version: str, progress: Progress
) -> Manifest:
    """Write the archive and return its manifest.

    Raises BackupError if the archive exists, the database is missing or damaged, or there is no
    room. Nothing is left behind then.
    """
    if not database.is_file():
        raise BackupError(f"There is no database {database}. Name its folder with --data-dir.")
    if archive.exists() or archive.is_symlink():
        raise BackupError(f"{archive} exists and is not overwritten. Choose another name.")
    try:
        _check_space(database, archive.parent)
        # Beside the archive: it is private, on the same disk, and goes whatever happens.
        with tempfile.TemporaryDirectory(prefix=".fleetwire-backup-", dir=archive.parent) as folder:
            return _make(database, data_dir, archive, Path(folder), version, progress)
    except FileExistsError as error:
        raise BackupError(f"{archive} has appeared meanwhile and is not overwritten.") from error
    except OSError as error:
        raise BackupError(f"The backup cannot be written: {error}.") from error
    except sqlite3.Error as error:
        raise BackupError(f"The database {database} cannot be copied: {error}.") from error


def _make(
    database: Path, data_dir: Path, archive: Path, folder: Path, version: str, progress: Progress
) -> Manifest:
    created_at = time.time_ns() // 1000
    copy = folder / DATABASE
    _copy_database(database, copy, progress)
    rows, revisions = inspect(copy)
    found = [copy, *(data_dir / name for name in SECRETS if (data_dir / name).is_file())]
    part = folder / "archive.zip"
    files = []
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in found:
                files.append(_pack(packed, path, progress))
            manifest = Manifest(FORMAT, version, created_at, files, rows, revisions)
            packed.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        out.flush()
        os.fsync(out.fileno())
    os.link(part, archive)  # unlike a rename, this never takes the place of another file
    sync_folder(archive.parent)
    with contextlib.suppress(OSError):  # the backup is good, also by who may only read the folder
        last = data_dir / LAST
        last.touch()
        os.utime(last, ns=(created_at * 1000, created_at * 1000))
    return manifest


def last_backup_at(data_dir: Path) -> int:
    """Return when the last backup of this folder was begun, in microseconds UTC; 0 = never."""
    try:
        return (data_dir / LAST).stat().st_mtime_ns // 1000
    except OSError:
        return 0


def _copy_database(database: Path, copy: Path, progress: Progress) -> None:
    def report(status: int, remaining: int, total: int) -> None:
        progress("copying the database", total - remaining, total)

    uri = f"{database.resolve().as_uri()}?mode=rw"  # rw: reading a WAL takes its shared memory
    with (
        closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        ) as old,
        closing(sqlite3.connect(copy, isolation_level=None)) as new,
    ):
        # In a transaction of ours every step sees one snapshot. Without it, the copy would start
        # again at each commit of the server and never end under load.
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        old.backup(new, pages=PAGES_PER_STEP, progress=report)
        old.execute("ROLLBACK")
        new.execute("PRAGMA journal_mode=DELETE")  # one file, no log beside it


def _pack(packed: zipfile.ZipFile, path: Path, progress: Progress) -> ArchivedFile:
    total = path.stat().st_size
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as source, packed.open(path.name, "w", force_zip64=True) as target:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
            done += len(chunk)
            progress(f"packing {path.name}", done, total)
    return ArchivedFile(path.name, done, digest.hexdigest())


def inspect(database: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Return the rows of each table, and the revision that each version table names.

    Raises BackupError if SQLite finds the file damaged.
    """
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        try:
            # The file may come from anybody: its views and triggers get no functions to call.
            opened.execute("PRAGMA trusted_schema=OFF")
            found = [row[0] for row in opened.execute("PRAGMA integrity_check(10)")]
            if found != ["ok"]:
                raise BackupError(f"The database is damaged: {'; '.join(found)}")
            query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            names = [row[0] for row in opened.execute(query)]
            rows = {}
            revisions = {}
            for name in names:
                quoted = '"' + name.replace('"', '""') + '"'
                rows[name] = int(opened.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0])
                if name.startswith("alembic_version") and rows[name]:
                    answer = opened.execute(f"SELECT version_num FROM {quoted}").fetchone()
                    revisions[name] = str(answer[0])
        except sqlite3.DatabaseError as error:
            raise BackupError(f"The database is damaged: {error}") from error
    return rows, revisions


def _check_space(database: Path, folder: Path) -> None:
    """Raise BackupError if the copy and the archive of it may not both fit."""
    log = database.with_name(database.name + "-wal")
    needed = 2 * (database.stat().st_size + (log.stat().st_size if log.exists() else 0))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(
            f"{folder} has {free:,} bytes free; the backup may need {needed:,}. "
            "Choose a folder on another disk."
        )


def sync_folder(folder: Path) -> None:
    """Return once the names in the folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
