"""Finds the installed apps by their entry point and lets them read their own settings."""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from fleetwire.errors import SettingsError
from fleetwire.kit import App
from fleetwire.kit.simulation import Simulator
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate

GROUP = "fleetwire.apps"


def load_apps(names: Sequence[str] | None, environment: Mapping[str, str]) -> list[App]:
    """Return the apps of these names (None = every installed one), in a stable order.

    An entry point names a module's App; if the module has `configure(environment)`, that makes the
    App instead. Raises SettingsError for a name that is not installed.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if names is None:
        names = sorted(found)
    apps = []
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise SettingsError(f"FLEETWIRE_APPS: no app is called {name!r}. Installed: {known}.")
        apps.append(_load(found[name], environment))
    return apps


def _load(point: EntryPoint, environment: Mapping[str, str]) -> App:
    module = importlib.import_module(point.module)
    configure = getattr(module, "configure", None)
    app = configure(environment) if configure is not None else point.load()
    if not isinstance(app, App):
        raise SettingsError(f"The entry point {point.name!r} ({point.value}) is not an App.")
    return app


def simulator_of(name: str) -> type[Simulator]:
    """Return the class `Simulator` of the module `simulator` in an installed app's package.

    Raises SettingsError if there is no such app or it brings no virtual devices.
    """
    found = {point.name: f"{point.module}.simulator" for point in entry_points(group=GROUP)}
    known = [each for each in sorted(found) if importlib.util.find_spec(found[each]) is not None]
    if name not in known:
        raise SettingsError(
            f"there are no virtual {name!r} devices; try medical, {', '.join(known)}"
        )
    simulator: type[Simulator] = importlib.import_module(found[name]).Simulator
    return simulator


def migrate_all(database: Database, apps: Sequence[App]) -> list[str]:
    """Bring the database to the form that the platform and these apps need; see `migrate`."""
    folders = [(app.name, migrations_of(app)) for app in apps]
    return migrate(database, [(name, folder) for name, folder in folders if folder is not None])


def migrations_of(app: App) -> Path | None:
    """Return the folder of the app's own migrations, written `module:folder`."""
    if app.migrations is None:
        return None
    module_name, _, folder = app.migrations.partition(":")
    module = importlib.import_module(module_name)
    assert module.__file__ is not None
    return Path(module.__file__).parent / folder
