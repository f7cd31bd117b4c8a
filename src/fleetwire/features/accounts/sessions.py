"""Sessions: the logins of a person that go on, and their end by hand."""

from fleetwire.errors import ForbiddenError, NotFoundError
from fleetwire.features.accounts import login_repository
from fleetwire.features.accounts.login_repository import Session
from fleetwire.features.accounts.part import MANAGE, Part, is_above_caller, require_person
from fleetwire.kit.services import Caller
from fleetwire.store.database import Transaction


class Sessions(Part):
    """Each ends with its refresh token, its access tokens, and what is connected with those."""

    async def sessions(self, caller: Caller) -> list[Session]:
        """Return the caller's own logins in all organisations, those used last first."""
        require_person(caller)
        return await self._db.read(
            lambda c: login_repository.sessions_of(c, caller.account_id, self._clock())
        )

    async def end_session(self, caller: Caller, session_id: str) -> None:
        """End one of the caller's own logins. Raises NotFoundError."""
        require_person(caller)

        def work(tx: Transaction) -> None:
            if session_id not in login_repository.logins_of(tx.connection, caller.account_id):
                raise NotFoundError("You have no such login.")
            self._end(tx, caller.account_id, session_id, "signed out")
            self._audit.record_in(tx, caller, "login.ended", caller.actor)

        await self._db.write(work)

    async def end_sessions(self, caller: Caller, account_id: int) -> None:
        """End all logins of one of the organisation's people, for this organisation.

        Raises NotFoundError, ForbiddenError if the account stands above the caller.
        """
        caller.require(MANAGE)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above_caller(account.role, caller):
                raise ForbiddenError("This account's role stands above yours.")
            login_repository.end_those_for(tx, account_id, caller.organization_id, self._clock())
            self._take_logins(tx, account_id)
            tx.after_commit(lambda: self._tell(account_id, "signed out"))
            self._audit.record_in(tx, caller, "login.ended", f"account:{account_id}")

        await self._db.write(work)
