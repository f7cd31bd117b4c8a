"""Accounts over a database of the test's own, with clocks that move when told to."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.passwords import Passwords
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit import Caller
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate
from tests.fakes import FakeClock

SECRET = "the secret of the tests, which is long enough"
PASSWORD = "correct horse battery staple"
HERE = "192.0.2.7"


class People:
    """Accounts, and what a test needs around them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.waits = 0.0  # the throttle's clock, in seconds
        self.db = Database(f"sqlite:///{path}")
        self.audit = SqlAudit(self.db, self.clock)
        self.accounts = self.open_accounts()
        self.first = ("", "")  # user name and password of the first administrator

    def open_accounts(self) -> Accounts:
        """Return Accounts as after a start."""
        throttle = Throttle(lambda: self.waits)
        return Accounts(
            self.db,
            SECRET,
            self.audit,
            clock=self.clock,
            throttle=throttle,
            passwords=Passwords(memory_kib=64, time_cost=1),  # quick
        )

    async def owner(self) -> Caller:
        """Return the first administrator as a caller."""
        tokens = await self.accounts.login(*self.first, HERE)
        return await self.accounts.authenticate_token(tokens.access_token, HERE)

    async def add(self, name: str, /, role: str = "viewer", **more: Any) -> Account:
        """Make an account with PASSWORD."""
        return await self.accounts.create_account(
            await self.owner(),
            **{"email": f"{name}@example.org", "username": name, "role": role}
            | {"password": PASSWORD}
            | more,
        )

    async def caller(self, username: str) -> Caller:
        """Sign somebody in."""
        tokens = await self.accounts.login(username, PASSWORD, HERE)
        return await self.accounts.authenticate_token(tokens.access_token, HERE)

    async def audited(self, action: str) -> list[dict[str, Any]]:
        """Return what the audit has of an action."""
        query = text("SELECT * FROM audit WHERE action = :action ORDER BY id")
        return await self.db.read(
            lambda c: [dict(row) for row in c.execute(query, {"action": action}).mappings()]
        )


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in today's form with nothing in it, to be copied: making one takes long."""
    path = tmp_path_factory.mktemp("accounts") / "new.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
async def people(tmp_path: Path, new_database: Path) -> AsyncIterator[People]:
    shutil.copy(new_database, tmp_path / "test.db")
    people = People(tmp_path / "test.db")
    people.db.open()
    try:
        first = await people.accounts.bootstrap()
        assert first is not None
        people.first = first
        yield people
    finally:
        await people.db.close()
