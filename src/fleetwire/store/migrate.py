"""Migrate: brings the database to the form that this version of the platform and its apps need.

The platform and each app have a branch of revisions of their own (Alembic), one after the other,
labelled with the app's name; an app's first revision depends on the platform's revision it needs.
Each branch has its own version table (`alembic_version`, `alembic_version_medical`), so an app that
is left out of one start keeps its place.

Where the database can do it (SQLite, PostgreSQL) all of it is one transaction. There is no way
back but a copy made before.
"""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fleetwire.errors import SettingsError, StoreUnavailableError
from fleetwire.store.database import Database

FOLDER = Path(__file__).parent / "migrations"


def migrate(database: Database | str, app_locations: Sequence[tuple[str, Path]] = ()) -> list[str]:
    """Apply every revision that is missing and return their ids in the order applied.

    `database` is a Database, opened or not, or its URL; `app_locations` are names of apps and the
    folders of their revisions. Raises SettingsError if the database was made by a newer version or
    if an app's revisions are at fault, StoreUnavailableError if the database does not take them.
    """
    if isinstance(database, str):
        database = Database(database)
        try:
            return migrate(database, app_locations)
        finally:
            database.engine.dispose()
    branches, script = branches_of(app_locations)
    applied: list[str] = []
    try:
        with database.connect_to_write() as connection, connection.begin():
            for branch, version_table in branches:
                applied += _upgrade(connection, script, branch, version_table)
    except DBAPIError as error:
        raise StoreUnavailableError(f"The database cannot be prepared: {error.orig}") from error
    return applied


def _upgrade(
    connection: Connection, script: ScriptDirectory, branch: str, version_table: str
) -> list[str]:
    revisions = _revisions(script, branch)
    applied: list[str] = []

    def steps(reached: Sequence[str], _: MigrationContext) -> Sequence[MigrationStep]:
        missing = _missing(revisions, branch, reached)
        applied.extend(revision.revision for revision in missing)
        return [MigrationStep.upgrade_from_script(script.revision_map, each) for each in missing]

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "version_table": version_table}
    )
    with Operations.context(context):
        context.run_migrations()
    return applied


def branches_of(
    app_locations: Sequence[tuple[str, Path]],
) -> tuple[list[tuple[str, str]], ScriptDirectory]:
    """Return (branch, its version table) of the platform and each app, and all revisions."""
    branches = [("platform", "alembic_version")]
    branches += [(app, f"alembic_version_{app}") for app, _ in app_locations]
    folders = [FOLDER / "versions", *(folder for _, folder in app_locations)]
    return branches, ScriptDirectory(FOLDER, version_locations=folders)


def missing_revisions(script: ScriptDirectory, branch: str, reached: Sequence[str]) -> list[str]:
    """Return the revisions that an upgrade from `reached` applies, oldest first.

    Raises SettingsError if this version does not know `reached`: there is no way back.
    """
    missing = _missing(_revisions(script, branch), branch, reached)
    return [revision.revision for revision in missing]


def _missing(revisions: Sequence[Script], branch: str, reached: Sequence[str]) -> list[Script]:
    missing = list(takewhile(lambda revision: revision.revision not in reached, revisions))
    if reached and len(missing) == len(revisions):
        raise SettingsError(
            f"The database is at revision {reached[0]!r} of {branch}, which this version does "
            "not know. Start the version that made it, or go back to a copy from before."
        )
    missing.reverse()
    return missing


def _revisions(script: ScriptDirectory, branch: str) -> list[Script]:
    """Return the branch's own revisions, newest first. Raises SettingsError if they are no line."""
    try:
        found = list(script.walk_revisions("base", f"{branch}@head"))
    except CommandError as error:
        raise SettingsError(f"The migrations of {branch}: {error}") from error
    return [revision for revision in found if branch in revision.branch_labels]
