"""`fleetwire accounts reset-owner`: a way in for an owner, on the data folder alone."""

import asyncio
from pathlib import Path

import typer
from sqlalchemy import make_url

from fleetwire.cli.console import note, say
from fleetwire.cli.migrate import locations
from fleetwire.errors import SettingsError
from fleetwire.features.accounts.owner_reset import OwnerReset
from fleetwire.features.audit.service import SqlAudit
from fleetwire.runtime.lifecycle import DataFolder
from fleetwire.settings import Settings
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate


def run(settings: Settings, username: str | None, *, is_sure: bool) -> None:
    """Ask, and print user name and password.

    Raises SettingsError if there is no database, or a server runs on the folder; NotFoundError if
    it is not clear whom to help.
    """
    url = make_url(settings.store.url)
    # Before the folder is held, which would make it.
    if url.get_backend_name() == "sqlite" and not settings.data_dir.is_dir():
        raise SettingsError(
            f"There is no data folder {settings.data_dir}. Name the server's with --data-dir."
        )
    with DataFolder(settings.data_dir):
        if url.get_backend_name() == "sqlite" and not _exists(url.database):
            raise SettingsError(
                f"There is no database {url.database}. Name the server's folder with --data-dir."
            )
        migrate(settings.store.url, locations(settings))
        asyncio.run(_reset(settings.store.url, username, is_sure=is_sure))


def _exists(path: str | None) -> bool:
    return path is not None and Path(path).is_file()


async def _reset(url: str, username: str | None, *, is_sure: bool) -> None:
    database = Database(url)
    database.open()
    try:
        reset = OwnerReset(database, SqlAudit(database))
        owner = await reset.find(username)
        closed = "" if owner.is_active else " (closed, which opens it)"
        note(
            f"{owner.username}{closed}, who owns {owner.organization!r}, gets a password for one "
            "login. The old one and all logins end."
        )
        if not is_sure:
            typer.confirm("Go on?", abort=True, err=True)
        password = await reset.reset(owner)
    finally:
        await database.close()
    say(f"{owner.username} {password}")
    note("Sign in with it once, and set one of your own: POST /api/v1/auth/change-password.")
