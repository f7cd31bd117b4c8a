"""Preflight: what a migration would do, found out without changing anything."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from fleetwire.errors import StoreUnavailableError
from fleetwire.store.database import Database
from fleetwire.store.migrate import branches_of, missing_revisions


class BranchPath(NamedTuple):
    """The way of one branch: from its revision (None = nothing yet) over those missing."""

    branch: str
    reached: str | None
    missing: list[str]


class Preflight(NamedTuple):
    """What a migration would do. Bytes are 0 where the database is not a file of this machine."""

    branches: list[BranchPath]
    database_bytes: int
    needed_bytes: int
    free_bytes: int

    @property
    def is_needed(self) -> bool:
        """Whether any revision is missing."""
        return any(path.missing for path in self.branches)

    @property
    def has_room(self) -> bool:
        """Whether the migration fits on the disk; one that has nothing to do always does."""
        return not self.is_needed or self.free_bytes >= self.needed_bytes


def check_migration(url: str, app_locations: Sequence[tuple[str, Path]] = ()) -> Preflight:
    """Return what `migrate` would do to this database.

    Raises SettingsError if a newer version made the database, StoreUnavailableError if it cannot
    be read.
    """
    branches, script = branches_of(app_locations)
    database = Database(url)
    try:
        file = Path(database.url.database or "") if database.is_sqlite else None
        # Looking into a file that is not there would make it.
        if file is not None and not file.exists():
            reached: dict[str, str] = {}
        else:
            reached = _reached(database, [table for _, table in branches])
    finally:
        database.engine.dispose()
    paths = []
    for branch, table in branches:
        known = [reached[table]] if table in reached else []
        missing = missing_revisions(script, branch, known)
        paths.append(BranchPath(branch, reached.get(table), missing))
    if file is None:
        return Preflight(paths, 0, 0, 0)
    size = file.stat().st_size if file.exists() else 0
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    # All of it is one transaction: a revision that writes every table anew fills the write-ahead
    # log with a second copy, which then goes into the file, whose old pages are free only later.
    return Preflight(paths, size, 2 * size, shutil.disk_usage(folder).free)


def _reached(database: Database, tables: Sequence[str]) -> dict[str, str]:
    try:
        with database.engine.connect() as connection:
            there = set(inspect(connection).get_table_names())
            found = {}
            for table in tables:
                if table in there:
                    row = connection.execute(text(f'SELECT version_num FROM "{table}"')).first()
                    if row is not None:
                        found[table] = str(row[0])
            return found
    except DBAPIError as error:
        raise StoreUnavailableError(f"The database cannot be read: {error.orig}") from error
