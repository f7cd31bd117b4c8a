"""PasswordChanges: another password, by whoever knows the old one or may replace it."""

from fleetwire.errors import ConflictError, ForbiddenError, InvalidValueError
from fleetwire.features.accounts import repository
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.part import Part, is_above_caller, require_person, wrong
from fleetwire.features.accounts.rules import check_password
from fleetwire.kit.services import Caller
from fleetwire.store.database import Transaction


class PasswordChanges(Part):
    """Every change ends all of the account's logins."""

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Replace the caller's own password; all his logins end.

        Raises InvalidValueError if the old one is wrong, TooManyAttemptsError after failures.
        """
        require_person(caller)
        check_password(new, "new_password")
        # The prefix keeps these attempts apart from those at the door, which anybody can make.
        name = f"change:{caller.account_id}"
        self._throttle.enter(name, caller.remote)
        stored = await self._db.read(lambda c: repository.password_hash(c, caller.account_id))
        if not await self._is_password(stored, old):
            await self._audit.record(caller, "password.refused", caller.actor, outcome="refused")
            raise InvalidValueError("old_password is wrong.", field="old_password")
        self._throttle.succeeded(name, caller.remote)
        hashed = await self._passwords.hash(new)

        def work(tx: Transaction) -> None:
            if repository.password_hash(tx.connection, caller.account_id) != stored:
                raise ConflictError("The password was changed by somebody else meanwhile.")
            self.set_password(tx, caller.account_id, hashed)
            self._audit.record_in(tx, caller, "password.changed", caller.actor)

        await self._db.write(work)

    def set_password(self, tx: Transaction, account_id: int, hashed: str) -> None:
        """Replace a password; all the account's logins end."""
        repository.set_password(tx, account_id, hashed)
        self._end_logins(tx, account_id, "password changed")

    async def prove(self, account: Account, password: str, remote: str) -> None:
        """Raise UnauthenticatedError unless it is the account's password; throttled as a login."""
        self._throttle.enter_login(account.email, remote)
        stored = await self._db.read(lambda c: repository.password_hash(c, account.id))
        if not await self._is_password(stored, password):
            await self._record_failure(account, "login.failed", remote)
            raise wrong()
        self._throttle.logged_in(account.email, remote)

    async def hash_password(self, password: str, field: str) -> str:
        """Return the hash of a new password. Raises InvalidValueError, TooManyAttemptsError."""
        check_password(password, field)
        return await self._passwords.hash(password)

    def may_reset(self, tx: Transaction, caller: Caller, account_id: int) -> None:
        """Raise ForbiddenError or NotFoundError unless the caller may replace this password."""
        account = self._of_caller(caller, account_id)
        if is_above_caller(account.role, caller):
            raise ForbiddenError("This account's role stands above yours.")
        self._check_is_ours_alone(tx, caller, account_id)
