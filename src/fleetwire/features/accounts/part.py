"""Part: what the parts of Accounts share, and what several of them do."""

from collections.abc import Callable

from fleetwire.errors import ConflictError, ForbiddenError, NotFoundError, UnauthenticatedError
from fleetwire.features.accounts import login_repository, repository
from fleetwire.features.accounts.directory import Account, Directory
from fleetwire.features.accounts.passwords import Passwords
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS, is_above
from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.accounts.tokens import AccessTokens
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.repository import (
    Membership,
    insert_member,
    members_of_account,
    members_with_role,
    remove_member,
)
from fleetwire.kit.caller import SYSTEM, Caller
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database, Transaction

MANAGE = "account.manage"


class Part:
    """Has the database, the directory in memory, and what accounts are checked and told with.

    `watchers` are called with the number of an account whose rights or logins have changed, and
    why, after the commit; `leavers` with that of one that leaves an organisation, within the
    transaction.
    """

    def __init__(
        self,
        db: Database,
        audit: SqlAudit,
        access_tokens: AccessTokens,
        passwords: Passwords,
        throttle: Throttle,
        clock: Callable[[], int],
        downlink: Downlink | None,
        allows_known_passwords: bool,
    ) -> None:
        self._db = db
        self._audit = audit
        self._access_tokens = access_tokens
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock
        self._downlink = downlink
        self.allows_known_passwords = allows_known_passwords
        self._directory = Directory()
        self._roles_said: dict[tuple[int, int], float] = {}  # by tokens: when, of whom and where
        self.watchers: list[Callable[[int, str], None]] = []
        self.leavers: list[Callable[[Transaction, int, int], None]] = []

    def insert(
        self,
        tx: Transaction,
        organization_id: int,
        email: str,
        username: str,
        full_name: str | None,
        role: str,
        password_hash: str | None,
    ) -> Account:
        """Store an account whose values are clean. Raises IntegrityError if a name is taken."""
        at = self._clock()
        id = repository.insert_account(
            tx,
            email=email,
            username=username,
            full_name=full_name,
            password_hash=password_hash,
            at=at,
        )
        insert_member(tx, Membership(organization_id, id, role), at)
        account = Account(id, email, username, full_name, True, at, None, organization_id, role)
        tx.after_commit(lambda: self._directory.put(account))
        return account

    async def _is_password(self, stored: str | None, password: str) -> bool:
        """Say whether it fits what is stored, if that is good here. Raises TooManyAttemptsError."""
        if stored is not None and stored.startswith(repository.KNOWN):
            known = stored.removeprefix(repository.KNOWN)
            stored = known if self.allows_known_passwords else None
        return await self._passwords.matches(stored, password)

    def _of_caller(self, caller: Caller, account_id: int) -> Account:
        account = self._directory.find(account_id, caller.organization_id)
        if account is None:
            raise NotFoundError(f"There is no account {account_id}.")
        return account

    def _check_is_ours_alone(self, tx: Transaction, caller: Caller, account_id: int) -> None:
        """Keep one organisation's administrators from taking over who works in another, too."""
        if account_id == caller.account_id:
            return
        places = members_of_account(tx.connection, account_id)
        if any(place.organization_id != caller.organization_id for place in places):
            raise ForbiddenError(
                "This person belongs to other organisations, too: here only the role can be "
                "changed, or the membership ended."
            )

    def _end_logins(self, tx: Transaction, account_id: int, reason: str) -> None:
        """End every refresh token, access token and connection of an account, with the commit."""
        login_repository.end_all(tx, account_id, self._clock())
        version = login_repository.raise_version(tx, account_id)
        self._take_logins(tx, account_id)

        def after() -> None:
            self._directory.set_version(account_id, version)
            self._tell(account_id, reason)

        tx.after_commit(after)

    def _end(self, tx: Transaction, account_id: int, family: str, reason: str) -> None:
        """End one login of an account and those begun from it, with the commit."""
        went_on = family in login_repository.logins_of(tx.connection, account_id)
        for each in (family, *login_repository.begun_from(tx.connection, family)):
            login_repository.end_login(tx, each, self._clock())
        if went_on:
            self._take_logins(tx, account_id)
            tx.after_commit(lambda: self._tell(account_id, reason))

    def _take_logins(self, tx: Transaction, account_id: int) -> None:
        """Let the directory know, with the commit, which logins of an account go on."""
        going_on = login_repository.logins_of(tx.connection, account_id)
        tx.after_commit(lambda: self._directory.set_logins(account_id, going_on))

    def _remove_from(self, tx: Transaction, account_id: int, organization_id: int) -> None:
        """End a membership and what it gave, with the commit.

        Raises ConflictError if it is the last owner's.
        """
        remove_member(tx, organization_id, account_id)
        check_an_owner_is_left(tx, organization_id)
        login_repository.end_those_for(tx, account_id, organization_id, self._clock())
        self._take_logins(tx, account_id)
        for leave in self.leavers:
            leave(tx, account_id, organization_id)

    def _tell(self, account_id: int, reason: str) -> None:
        """Close what an account has open; whoever is still let in connects again."""
        if self._downlink is not None:
            self._downlink.disconnect_identity(f"account:{account_id}", reason)
        for watcher in self.watchers:
            watcher(account_id, reason)

    async def _record_failure(self, account: Account | None, action: str, remote: str) -> None:
        # A name that nobody has is not written down: now and then it is somebody's password.
        organization_id = account.organization_id if account is not None else 0
        await self._audit.record(
            Caller("anonymous", organization_id, frozenset(), remote=remote),
            action,
            f"account:{account.id}" if account is not None else None,
            outcome="refused",
        )

    def _taken(self, email: str | None) -> ConflictError:
        if email is not None and self._directory.by_email(email) is not None:
            return ConflictError("An account has this e-mail address already.", field="email")
        return ConflictError("An account has this user name already.", field="username")


def is_above_caller(role: str, caller: Caller) -> bool:
    """Say whether a role stands above whoever asks; none stands above the house itself."""
    return caller.actor != SYSTEM and is_above(role, caller.role)


def caller_for(account: Account, remote: str, login: str = "") -> Caller:
    """Return an account as one who asks, with what its role may do."""
    return Caller(
        actor=f"account:{account.id}",
        organization_id=account.organization_id,
        permissions=PERMISSIONS[account.role],
        account_id=account.id,
        email=account.email,
        username=account.username,
        role=account.role,
        remote=remote,
        login=login,
    )


def require_person(caller: Caller) -> None:
    """Raise ForbiddenError to a key, also if it is a person's own: it may leak, and must end."""
    if caller.actor != f"account:{caller.account_id}":
        raise ForbiddenError("This is for people who have signed in, not for keys.")


def check_an_owner_is_left(tx: Transaction, organization_id: int) -> None:
    """Raise ConflictError if nobody who can sign in owns the organisation any more."""
    owners = members_with_role(tx.connection, organization_id, OWNER)
    if repository.count_active(tx.connection, owners) == 0:
        raise ConflictError("This is the organisation's last owner: make another one first.")


def wrong() -> UnauthenticatedError:
    """Return what every failed login is told."""
    return UnauthenticatedError("The user name or the password is wrong.")
