"""PasswordResets: how people who forgot their password get a new one.

They go by a token that is shown once and handed over by whoever made it; only its hash is kept. It
ends when the password is changed otherwise, and when the person joins another organisation: then
whoever has it could sign in there, too.
"""

import secrets
from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.part import MANAGE
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.accounts.tables import password_resets
from fleetwire.features.accounts.tokens import hash_of_token
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit import instants
from fleetwire.kit.services import Caller
from fleetwire.store.database import Database, Transaction

RESET_LIFE_US = 24 * 3600 * 1_000_000


class PasswordResets:
    """Makes and takes tokens for new passwords."""

    def __init__(
        self,
        db: Database,
        audit: SqlAudit,
        accounts: Accounts,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._audit = audit
        self._accounts = accounts
        self._clock = clock

    async def create(self, caller: Caller, account_id: int) -> tuple[str, int]:
        """Return a token to set a new password with, and when it expires; an older one ends.

        Raises NotFoundError; ForbiddenError if the account stands above the caller, or belongs to
        other organisations, too.
        """
        caller.require(MANAGE)
        token = secrets.token_urlsafe(32)

        def work(tx: Transaction) -> int:
            self._accounts.may_reset(tx, caller, account_id)
            expires_at = self._clock() + RESET_LIFE_US
            mine = password_resets.c.account_id == account_id
            tx.execute(delete(password_resets).where(mine))
            tx.execute(
                insert(password_resets).values(
                    account_id=account_id, token_hash=hash_of_token(token), expires_at=expires_at
                )
            )
            self._audit.record_in(tx, caller, "password.reset_offered", f"account:{account_id}")
            return expires_at

        return token, await self._db.write(work)

    async def reset(self, token: str, password: str, remote: str) -> None:
        """Set a new password; all the account's logins end. Raises UnauthenticatedError."""
        account_id = await self._db.read(lambda c: self._account_of(c, token))
        hashed = await self._accounts.hash_password(password, "new_password")

        def work(tx: Transaction) -> None:
            self._account_of(tx.connection, token)  # another may have used it meanwhile
            mine = password_resets.c.account_id == account_id
            tx.execute(delete(password_resets).where(mine))
            self._accounts.set_password(tx, account_id, hashed)
            actor = f"account:{account_id}"
            organization_id = self._accounts.home_of(account_id)
            who = Caller(actor, organization_id, frozenset(), remote=remote)
            self._audit.record_in(tx, who, "password.reset", actor)

        await self._db.write(work)

    def _account_of(self, connection: Connection, token: str) -> int:
        account_id = connection.scalar(
            select(password_resets.c.account_id).where(
                password_resets.c.token_hash == hash_of_token(token),
                password_resets.c.expires_at > self._clock(),
            )
        )
        if account_id is None:
            raise UnauthenticatedError("The token is unknown, used or expired.")
        return int(account_id)
