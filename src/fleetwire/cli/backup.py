"""`fleetwire backup` and `fleetwire restore`: a copy of everything, and the way back."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar, TaskID
from sqlalchemy.engine import make_url

from fleetwire.cli.console import note, say
from fleetwire.cli.migrate import locations
from fleetwire.errors import SettingsError
from fleetwire.kit.instants import iso
from fleetwire.runtime.lifecycle import DataFolder
from fleetwire.settings import Settings
from fleetwire.store.backup import DATABASE, Manifest, Progress, back_up
from fleetwire.store.preflight import check_migration
from fleetwire.store.restore import check_target, restore, stage, unpack


def run(settings: Settings, archive: Path) -> None:
    """Write a backup of the data folder, whether a server runs on it or not.

    Raises BackupError, or SettingsError if the database is not SQLite.
    """
    database = _database_file(settings)
    with _progress() as progress:
        manifest = back_up(
            database, settings.data_dir, archive, version=version("fleetwire"), progress=progress
        )
    say(f"{archive}: {archive.stat().st_size:,} bytes")
    _show(manifest)
    note("It holds secrets: keep it where only you can read it.")


def verify(settings: Settings, archive: Path) -> None:
    """Check an archive as a restore would, and write to no data folder. Raises BackupError."""
    with stage() as folder, _progress() as progress:
        manifest = _unpack(settings, archive, Path(folder), progress)
    _show(manifest)
    say("The archive is whole: checksums, integrity, rows and schema are as its manifest says.")


def put_back(settings: Settings, archive: Path, *, force: bool) -> None:
    """Check an archive and put it into the data folder, where no server may run.

    Raises BackupError if the archive is not whole or the folder is not empty, SettingsError if a
    server runs there, or a newer version made the backup.
    """
    data_dir = settings.data_dir
    if _database_file(settings).absolute() != (data_dir / DATABASE).absolute():
        raise SettingsError(
            "DATABASE_URL names a database outside the data folder, which a restore does not "
            "touch. Leave it out, or copy the file that a restore writes."
        )
    check_target(data_dir, force=force)
    with DataFolder(data_dir), stage(data_dir) as folder:
        with _progress() as progress:
            manifest = _unpack(settings, archive, Path(folder), progress)
        kept = restore(archive, data_dir, Path(folder))
    _show(manifest)
    if kept is not None:
        say(f"What was there before is in {kept}")
    say(f"Restored into {data_dir}.")


def _unpack(settings: Settings, archive: Path, folder: Path, progress: Progress) -> Manifest:
    manifest = unpack(archive, folder, progress)
    found = check_migration(f"sqlite:///{folder / DATABASE}", locations(settings))
    if found.is_needed:
        missing = ", ".join(revision for path in found.branches for revision in path.missing)
        note(f"The schema is older than this version's; the next start applies {missing}.")
    return manifest


def _show(manifest: Manifest) -> None:
    say(f"made {iso(manifest.created_at)} by Fleetwire {manifest.version}")
    for file in manifest.files:
        say(f"  {file.name}  {file.bytes:,} bytes  sha256 {file.sha256}")
    revisions = ", ".join(sorted(manifest.revisions.values()))
    say(f"  {sum(manifest.rows.values()):,} rows in {len(manifest.rows)} tables, at {revisions}")


def _database_file(settings: Settings) -> Path:
    url = make_url(settings.store.url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        raise SettingsError(
            f"DATABASE_URL names a {url.get_backend_name()} database, which has a backup tool of "
            "its own; this one copies SQLite files."
        )
    return Path(str(url.database))


@contextmanager
def _progress() -> Iterator[Progress]:
    """Give what shows progress on a terminal; elsewhere it stays silent."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show
