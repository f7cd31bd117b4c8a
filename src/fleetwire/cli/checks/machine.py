"""What the server stands on: Python, the clock, the data folder, the apps."""

import errno
import secrets
import shutil
import sqlite3
import sys
import time
from datetime import datetime
from pathlib import Path

from fleetwire.cli.checks.finding import Finding
from fleetwire.errors import SettingsError
from fleetwire.kit import App
from fleetwire.runtime.loader import load_apps
from fleetwire.settings import Settings

LITTLE_DISK_BYTES = 1024**3
NO_DISK_BYTES = 100 * 1024**2
FIRST_SANE_YEAR = 2025
LAST_SANE_YEAR = 2100
CLOCK_LOOK_S = 0.2
CLOCK_STEP_S = 0.05


def check_python() -> Finding:
    """Look at the interpreter and its SQLite."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    found = f"Python {version}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < (3, 35):
        return Finding("python", "wrong", found, "SQLite 3.35 or newer is needed.")
    return Finding("python", "good", found)


def check_clock() -> Finding:
    """Look whether the wall clock shows a believable time and runs evenly."""
    moment = datetime.now().astimezone()
    found = f"{moment.isoformat(timespec='seconds')} ({moment.tzname()})"
    if not FIRST_SANE_YEAR <= moment.year < LAST_SANE_YEAR:
        return Finding("clock", "wrong", found, "Set the clock: every reading gets its time.")
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_LOOK_S)
    drift_s = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift_s) > CLOCK_STEP_S:
        advice = "The clock was set just now; look whether two programs set it against each other."
        return Finding("clock", "notice", f"{found}, jumped by {drift_s:+.3f} s", advice)
    return Finding("clock", "good", found)


def check_data_dir(settings: Settings) -> list[Finding]:
    """Look whether the data folder can be written and has room."""
    folder = settings.data_dir
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
        probe = there / f".fleetwire-doctor-{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        advice = "Give it to the user that runs Fleetwire, or set FLEETWIRE_DATA_DIR to another."
        found = f"{there} cannot be written: {error.strerror}"
        return [Finding("data folder", "wrong", found, advice)]
    found = f"{folder}" if there == folder else f"{folder} (made at the first start)"
    return [Finding("data folder", "good", found), _check_disk(there)]


def _check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free"
    if free < NO_DISK_BYTES:
        advice = "Make room: without it nothing is stored, and devices are not acknowledged."
        return Finding("disk", "wrong", found, advice)
    if free < LITTLE_DISK_BYTES:
        return Finding("disk", "notice", found, "Make room soon.")
    return Finding("disk", "good", found)


def load(settings: Settings) -> tuple[list[App], Finding]:
    """Look whether the apps can be loaded; return them, too."""
    try:
        apps = load_apps(settings.apps, settings.environment)
    except (SettingsError, ImportError) as error:
        return [], Finding("apps", "wrong", str(error), "Correct it, or leave the app out.")
    names = ", ".join(app.name for app in apps) or "none"
    known = {app.name for app in apps} | {f"{app.name}.coap" for app in apps if app.coap}
    unknown = sorted(set(settings.app_ports) - known)
    if unknown:
        advice = "Correct FLEETWIRE_APP_PORTS (--app-port)."
        found = f"{names}; a port is set for {', '.join(unknown)}, which does not run"
        return apps, Finding("apps", "wrong", found, advice)
    return apps, Finding("apps", "good", names)
