"""`fleetwire migrate`: the database's form, brought to this version's."""

from fleetwire.cli.console import say
from fleetwire.runtime.lifecycle import DataFolder
from fleetwire.runtime.loader import load_apps, migrations_of
from fleetwire.settings import Settings
from fleetwire.store.migrate import migrate


def run(settings: Settings) -> None:
    """Apply what is missing and write each revision. Raises SettingsError."""
    apps = load_apps(settings.apps, settings.environment)
    folders = [(app.name, migrations_of(app)) for app in apps]
    locations = [(name, folder) for name, folder in folders if folder is not None]
    with DataFolder(settings.data_dir):
        applied = migrate(settings.store.url, locations)
    for revision in applied:
        say(f"applied {revision}")
    if not applied:
        say("The database is up to date.")
