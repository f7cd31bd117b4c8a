"""The database: whether it opens, is of this version, whole, and writes ahead."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

from alembic.script import ScriptDirectory

from fleetwire.cli.checks.finding import TIMEOUT_S, Finding
from fleetwire.kit import App
from fleetwire.runtime.loader import migrations_of
from fleetwire.settings import Settings
from fleetwire.store.migrate import FOLDER

DATABASE_CHECK_S = 10.0


def check_database(settings: Settings, apps: list[App]) -> list[Finding]:
    """Look whether the database opens, is of this version's form, whole, and writes ahead."""
    path = Path(unquote(settings.store.url.removeprefix("sqlite:///").partition("?")[0]))
    if not path.exists():
        return [Finding("database", "good", f"{path} (made at the first start)")]
    # Looking must not leave files behind, least of all root's. Where no log is, nobody writes now,
    # and SQLite can do without its own.
    uri = f"file:{quote(str(path))}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        uri += "&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)) as database:
            return [
                _check_writing_ahead(path),
                _check_form(database, apps),
                _check_wholeness(database),
            ]
    except sqlite3.Error as error:
        is_other = "not a database" in str(error) or "malformed" in str(error)
        advice = "Restore it from a backup." if is_other else "Look at its rights."
        return [Finding("database", "wrong", f"{path}: {error}", advice)]


def _check_writing_ahead(path: Path) -> Finding:
    with path.open("rb") as file:
        is_wal = file.read(20)[18:] == b"\x02\x02"  # the file format's word for it
    found = f"{path} ({path.stat().st_size / 1024**2:.1f} MiB)"
    if not is_wal:
        advice = "It writes no log ahead; the server sets that (WAL) when it starts."
        return Finding("database", "notice", found, advice)
    return Finding("database", "good", found)


def _check_form(database: sqlite3.Connection, apps: list[App]) -> Finding:
    about = "database version"
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        advice = "It is not Fleetwire's, or its first start was interrupted: fleetwire migrate"
        return Finding(about, "wrong", "none", advice)
    reached, missing, unknown = [], [], []
    for branch, (table, revisions) in _revisions(apps).items():
        rows = database.execute(f'SELECT version_num FROM "{table}"') if table in tables else ()
        revision = next((row[0] for row in rows), None)
        if revision == revisions[0]:
            reached.append(f"{branch} {revision}")
        elif revision is None or revision in revisions:
            missing.append(f"{branch} {revision or 'none'}, needed is {revisions[0]}")
        else:
            unknown.append(f"{branch} {revision}")
    if unknown:
        advice = "A newer version made it: start that one, or go back to a copy from before."
        return Finding(about, "wrong", f"{', '.join(unknown)} is not known here", advice)
    if missing:
        advice = "The server brings it up when it starts; or: fleetwire migrate"
        return Finding(about, "notice", "; ".join(missing), advice)
    return Finding(about, "good", ", ".join(reached))


def _revisions(apps: list[App]) -> dict[str, tuple[str, list[str]]]:
    """Return by branch its version table and its revisions, newest first."""
    branches = {"platform": ("alembic_version", FOLDER / "versions")}
    for app in apps:
        folder = migrations_of(app)
        if folder is not None:
            branches[app.name] = (f"alembic_version_{app.name}", folder)
    script = ScriptDirectory(
        str(FOLDER), version_locations=[str(folder) for _, folder in branches.values()]
    )
    return {
        branch: (
            table,
            [
                each.revision
                for each in script.walk_revisions("base", f"{branch}@head")
                if branch in each.branch_labels
            ],
        )
        for branch, (table, _) in branches.items()
    }


def _check_wholeness(database: sqlite3.Connection) -> Finding:
    deadline = time.monotonic() + DATABASE_CHECK_S
    database.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        problems = [row[0] for row in database.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        found = f"too large to be checked within {DATABASE_CHECK_S:g} s"
        advice = "For all of it: sqlite3 FILE 'PRAGMA quick_check'"
        return Finding("database content", "notice", found, advice)
    if problems != ["ok"]:
        return Finding(
            "database content", "wrong", "; ".join(problems), "Restore it from a backup."
        )
    return Finding("database content", "good", "whole")
