"""OwnerReset: a new way in for the owner of a server that nobody can sign in to any more.

It works on the database alone, while no server runs: whoever can write that owns the server anyway.
The password is good for one login, which is told to nobody but him who asked; with it the owner
sets one of his own. It stands in the audit.
"""

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection

from fleetwire.errors import NotFoundError
from fleetwire.features.accounts import login_repository, repository
from fleetwire.features.accounts.passwords import Passwords, random_password
from fleetwire.features.accounts.permissions import OWNER
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.repository import (
    all_members,
    find_organizations,
)
from fleetwire.kit import instants
from fleetwire.kit.services import Caller
from fleetwire.store.database import Database, Transaction


class Owner(msgspec.Struct, frozen=True):
    """Somebody who owns an organisation."""

    account_id: int
    username: str
    is_active: bool
    organization_id: int
    organization: str


class OwnerReset:
    """Finds owners and gives one of them a password for one login."""

    def __init__(
        self,
        db: Database,
        audit: SqlAudit,
        *,
        clock: Callable[[], int] = instants.now,
        passwords: Passwords | None = None,
    ) -> None:
        self._db = db
        self._audit = audit
        self._clock = clock
        self._passwords = Passwords() if passwords is None else passwords

    async def owners(self) -> list[Owner]:
        """Return all owners, those of the oldest organisation first."""
        return await self._db.read(_owners)

    async def find(self, username: str | None) -> Owner:
        """Return the owner of this name; None = the one of the oldest organisation.

        Raises NotFoundError, naming those there are, if it is nobody or more than one.
        """
        owners = await self.owners()
        if username is None and owners:
            first = owners[0].organization_id
            found = [each for each in owners if each.organization_id == first]
        else:
            found = [each for each in owners if each.username == (username or "").strip().lower()]
        if len({each.account_id for each in found}) == 1:
            return found[0]
        if not owners:
            raise NotFoundError("Nobody owns anything here: start the server once.")
        names = ", ".join(dict.fromkeys(each.username for each in owners))
        raise NotFoundError(f"Name an owner, who is one of: {names}.")

    async def reset(self, owner: Owner) -> str:
        """Return a password that is good for one login; all others of the account end.

        A closed account is opened.
        """
        password = random_password()
        hashed = await self._passwords.hash(password)

        def work(tx: Transaction) -> None:
            repository.set_one_time_password(tx, owner.account_id, hashed)
            login_repository.end_all(tx, owner.account_id, self._clock())
            login_repository.raise_version(tx, owner.account_id)
            console = Caller("console", owner.organization_id, frozenset())
            subject = f"account:{owner.account_id}"
            self._audit.record_in(tx, console, "password.reset_offline", subject)

        await self._db.write(work)
        return password


def _owners(connection: Connection) -> list[Owner]:
    places = [each for each in all_members(connection) if each.role == OWNER]
    accounts = {each.id: each for each in repository.all_accounts(connection)}
    ids = sorted({each.organization_id for each in places})
    names = {each.id: each.name for each in find_organizations(connection, ids)}
    return [
        Owner(
            each.account_id,
            accounts[each.account_id].username,
            accounts[each.account_id].is_active,
            each.organization_id,
            names[each.organization_id],
        )
        for each in places
    ]
