"""Restore: an archive of `backup` is checked as a whole, then put into a data folder.

An archive may come from anybody: only the names below are read, nothing larger than its manifest
says is unpacked, and no name of the archive becomes a path.
"""

import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import msgspec

from fleetwire.store.backup import (
    CHUNK_BYTES,
    DATABASE,
    FORMAT,
    MANIFEST,
    SECRETS,
    ArchivedFile,
    BackupError,
    Manifest,
    Progress,
    inspect,
    sync_folder,
)

MAX_MANIFEST_BYTES = 1024 * 1024
LOCK = "fleetwire.lock"
LOGS = tuple(f"{DATABASE}{suffix}" for suffix in ("-wal", "-shm", "-journal"))


def unpack(archive: Path, folder: Path, progress: Progress) -> Manifest:
    """Unpack an archive into an empty folder, check all of it and return its manifest.

    Raises BackupError if it is no archive of ours, incomplete or altered, or does not fit.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            manifest = _manifest(packed)
            _check_space(manifest, folder)
            for file in manifest.files:
                _unpack_one(packed, file, folder / file.name, progress)
        progress("checking the database", 0, 1)
        rows, revisions = inspect(folder / DATABASE)
        progress("checking the database", 1, 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BackupError(f"{archive} is damaged, or no backup of Fleetwire: {error}") from error
    except (OSError, sqlite3.Error) as error:
        raise BackupError(f"{archive} cannot be read: {error}") from error
    if revisions != manifest.revisions:
        raise BackupError(f"{archive}: the schema is not the one that its manifest names.")
    for table in sorted(rows.keys() | manifest.rows.keys()):
        if rows.get(table) != manifest.rows.get(table):
            raise BackupError(
                f"{archive}: {table} has {rows.get(table, 0)} rows where the manifest says "
                f"{manifest.rows.get(table, 0)}."
            )
    return manifest


def check_target(data_dir: Path, *, force: bool) -> None:
    """Raise BackupError if the data folder holds anything and `force` is not given."""
    try:
        names = {path.name for path in data_dir.iterdir()} if data_dir.exists() else set()
    except OSError as error:
        raise BackupError(f"The data folder {data_dir} cannot be read: {error}") from error
    if names - {LOCK} and not force:
        raise BackupError(
            f"The data folder {data_dir} is not empty. Choose another, or use --force: what a "
            "restore replaces is kept there in a folder called before-restore-…"
        )


def restore(archive: Path, data_dir: Path, staged: Path) -> Path | None:
    """Move checked files from `staged`, a folder in `data_dir`, into their places.

    Returns the folder that now keeps what was there before, if something was. The caller holds
    the data folder. Raises BackupError.
    """
    try:
        old = [data_dir / name for name in (DATABASE, *LOGS, *SECRETS)]
        old = [path for path in old if path.exists()]
        kept = None
        if old:
            kept = data_dir / f"before-restore-{time.time_ns() // 1000}"
            kept.mkdir(mode=0o700)
            # A log that stayed beside another database would be played into it.
            for path in old:
                path.rename(kept / path.name)
            sync_folder(kept)
        for name in (*SECRETS, DATABASE):  # the database last: without it, it is plainly not done
            if (staged / name).exists():
                (staged / name).rename(data_dir / name)
        sync_folder(data_dir)
    except OSError as error:
        raise BackupError(f"{archive} cannot be put into {data_dir}: {error}") from error
    return kept


def stage(parent: Path | None = None) -> "tempfile.TemporaryDirectory[str]":
    """Return a private folder to unpack into, which goes at the end of its `with`."""
    return tempfile.TemporaryDirectory(prefix=".fleetwire-restore-", dir=parent)


def _manifest(packed: zipfile.ZipFile) -> Manifest:
    names = packed.namelist()
    allowed = {MANIFEST, DATABASE, *SECRETS}
    if MANIFEST not in names or len(names) != len(set(names)) or not set(names) <= allowed:
        raise BackupError("The archive is no backup of Fleetwire: it holds other files.")
    with packed.open(MANIFEST) as file:
        text = file.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise BackupError(f"The manifest is larger than {MAX_MANIFEST_BYTES:,} bytes.")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(f"The manifest is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"The archive has format {manifest.format}, made by Fleetwire {manifest.version}; "
            f"this version reads format {FORMAT}."
        )
    listed = [file.name for file in manifest.files]
    if sorted([*listed, MANIFEST]) != sorted(names) or DATABASE not in listed:
        raise BackupError("The archive does not hold the files that its manifest names.")
    return manifest


def _unpack_one(
    packed: zipfile.ZipFile, file: ArchivedFile, target: Path, progress: Progress
) -> None:
    digest = hashlib.sha256()
    done = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with packed.open(file.name) as source, os.fdopen(descriptor, "wb") as out:
        while chunk := source.read(CHUNK_BYTES):
            done += len(chunk)
            if done > file.bytes:
                raise BackupError(f"{file.name} is larger than the manifest says.")
            digest.update(chunk)
            out.write(chunk)
            progress(f"unpacking {file.name}", done, file.bytes)
        out.flush()
        os.fsync(out.fileno())
    if done != file.bytes or digest.hexdigest() != file.sha256:
        raise BackupError(f"{file.name} is not what was archived: its checksum differs.")


def _check_space(manifest: Manifest, folder: Path) -> None:
    needed = sum(file.bytes for file in manifest.files)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(f"{folder} has {free:,} bytes free; the archive unpacks to {needed:,}.")
