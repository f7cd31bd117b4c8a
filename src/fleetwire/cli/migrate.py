"""`fleetwire migrate`: the database's form, brought to this version's."""

from pathlib import Path

from fleetwire.cli.console import say
from fleetwire.runtime.lifecycle import DataFolder
from fleetwire.runtime.loader import load_apps, migrations_of
from fleetwire.settings import Settings
from fleetwire.store.migrate import migrate
from fleetwire.store.preflight import check_migration


def run(settings: Settings) -> None:
    """Apply what is missing and write each revision. Raises SettingsError."""
    with DataFolder(settings.data_dir):
        applied = migrate(settings.store.url, locations(settings))
    for revision in applied:
        say(f"applied {revision}")
    if not applied:
        say("The database is up to date.")


def check(settings: Settings) -> int:
    """Say what `run` would do, without doing it; return 0 if it can, 1 if there is no room.

    Raises SettingsError if a newer version made the database.
    """
    found = check_migration(settings.store.url, locations(settings))
    for path in found.branches:
        reached = path.reached or "nothing yet"
        if path.missing:
            say(f"{path.branch}: at {reached}, to apply: {', '.join(path.missing)}")
        else:
            say(f"{path.branch}: at {reached}, up to date")
    if not found.is_needed:
        say("The database is up to date.")
        return 0
    if found.needed_bytes:
        say(f"disk: {found.needed_bytes:,} bytes may be needed, {found.free_bytes:,} are free")
    if not found.has_room:
        say("There is not enough room. Nothing was changed.")
        return 1
    if any(path.reached for path in found.branches):
        say("There is no way back but a copy: make one with `fleetwire backup FILE` first.")
    return 0


def locations(settings: Settings) -> list[tuple[str, Path]]:
    """Return the names of the apps that have migrations, and the folders of these."""
    apps = load_apps(settings.apps, settings.environment)
    folders = [(app.name, migrations_of(app)) for app in apps]
    return [(name, folder) for name, folder in folders if folder is not None]
