"""migrate: the database brought to the form this version and its apps expect.

The platform's revisions lie in `store/migrations/versions`, an app's in a folder of its own. Each
has a version table of its own, so that an app which is not loaded today keeps its state untouched:
`alembic_version` for the platform, `alembic_version_<app>` for an app. An app's first revision
carries its name as branch label and depends on the platform's revision that it builds on.

Everything that is missing is applied in one transaction where the database can do that (SQLite and
PostgreSQL); a start that is killed half-way has then changed nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fleetwire.errors import SettingsError, StoreUnavailableError
from fleetwire.store.database import Database

PLATFORM = "platform"

_HERE = Path(__file__).parent / "migrations"
_VERSIONS = _HERE / "versions"


def migrate(
    database: Database | str, app_locations: Sequence[tuple[str, Path]] = ()
) -> list[str]:
    """Apply what is missing, the platform first, and return the applied revisions in order.

    `app_locations` are (app, folder of its revisions). Blocks; call it before the database is
    opened. Raises SettingsError if the database is newer than this version or an app's revisions
    do not fit, StoreUnavailableError if the database cannot be read or written.
    """
    opened = database if isinstance(database, Database) else Database(database)
    try:
        with opened.engine.connect() as connection, connection.begin():
            applied = _upgrade(connection, PLATFORM, _VERSIONS)
            for app, folder in app_locations:
                applied += _upgrade(connection, app, folder)
        return applied
    except DBAPIError as error:
        raise StoreUnavailableError(f"The database cannot be prepared: {error.orig}") from error
    finally:
        if opened is not database:
            opened.engine.dispose()


def _upgrade(connection: Connection, branch: str, folder: Path) -> list[str]:
    is_app = branch != PLATFORM
    locations = [str(_VERSIONS), str(folder)] if is_app else [str(_VERSIONS)]
    script = ScriptDirectory(str(_HERE), version_locations=locations)
    missing: list[Script] = []

    def steps(current: Any, context: MigrationContext) -> list[RevisionStep]:
        # Towards an app's head the platform's revisions are on the way; those are applied already.
        way = script.iterate_revisions(f"{branch}@head", current or None, implicit_base=True)
        missing.extend(each for each in way if Path(each.path).parent == folder)
        missing.reverse()
        return [MigrationStep.upgrade_from_script(script.revision_map, each) for each in missing]

    context = MigrationContext.configure(
        connection,
        opts={
            "script": script,
            "fn": steps,
            "version_table": f"alembic_version_{branch}" if is_app else "alembic_version",
        },
    )
    try:
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        raise SettingsError(
            f"The database does not fit the revisions of {branch!r}: {error}. "
            "Was it made by a newer version? Then install that one."
        ) from error
    return [each.revision for each in missing]
