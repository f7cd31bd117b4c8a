"""Accounts: people's accounts, how they sign in, and who a token speaks of.

A refresh token can be used once; using it again means that two have it, and ends the whole login.
Access tokens are not stored: they live an hour, but what they allow is looked up for each request,
so a closed account or another role counts at once. Another password, or closing the account, raises
the version that its access tokens must have: older ones end, also if the account is opened again.

A person may belong to several organisations. Each login is for one of them.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.accounts import repository
from fleetwire.features.accounts.directory import Account, Directory
from fleetwire.features.accounts.keys import KeySet
from fleetwire.features.accounts.passwords import Passwords, random_password
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS, is_above
from fleetwire.features.accounts.rules import (
    check_password,
    check_role,
    clean_email,
    clean_full_name,
    clean_organization_name,
    clean_username,
)
from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.accounts.tokens import (
    ACCESS_LIFE_S,
    REFRESH_LIFE_S,
    AccessTokens,
    new_refresh_token,
    refresh_token_hash,
)
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.audit.visibility import PLATFORM_ORGANIZATION
from fleetwire.features.organizations.repository import (
    Membership,
    Organization,
    all_members,
    count_organizations,
    find_organizations,
    insert_member,
    insert_organization,
    members_of_account,
    members_with_role,
    remove_member,
    set_role,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database, Transaction

MANAGE = "account.manage"
CREATE_ORGANIZATION = "organization.create"
ORGANIZATIONS_MOST = 1_000
LOGINS_MOST = 100  # of one account at a time; the one that was used longest ago ends
FIRST_ORGANIZATION = "Default"
FIRST_USERNAME = "admin"
FIRST_EMAIL = "admin@fleetwire.local"

_NOT_YOURS = "You do not belong to this organisation."


class Tokens(msgspec.Struct):
    """What a login gives."""

    access_token: str
    refresh_token: str
    account: Account
    expires_in_s: int = ACCESS_LIFE_S
    refresh_expires_in_s: int = REFRESH_LIFE_S


class Accounts:
    """Signs people in and manages their accounts. `bootstrap()` comes first.

    A closed account, or one of another role, loses its connections on `downlink`.
    """

    def __init__(
        self,
        db: Database,
        secret: str,
        audit: SqlAudit,
        *,
        jwks_url: str | None = None,
        jwt_audience: str | None = None,
        jwt_issuer: str | None = None,
        downlink: Downlink | None = None,
        clock: Callable[[], int] = instants.now,
        throttle: Throttle | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self._db = db
        self._audit = audit
        self._downlink = downlink
        self._clock = clock
        self._directory = Directory()
        self._passwords = Passwords() if passwords is None else passwords
        self._throttle = Throttle() if throttle is None else throttle
        keys = KeySet(jwks_url) if jwks_url is not None else None
        self._access_tokens = AccessTokens(
            secret, keys, clock, audience=jwt_audience, issuer=jwt_issuer
        )

    async def bootstrap(self) -> tuple[str, str] | None:
        """Load the accounts; where there are none, make the first and return its login, once."""
        for account in await self._db.read(repository.all_accounts):
            self._directory.put(account)
        for place in await self._db.read(all_members):
            self._directory.join(place.account_id, place.organization_id, place.role)
        for account_id, version in await self._db.read(repository.all_versions):
            self._directory.set_version(account_id, version)
        if len(self._directory):
            return None
        password = random_password()
        hashed = await self._passwords.hash(password)

        def work(tx: Transaction) -> None:
            organization_id = insert_organization(tx, FIRST_ORGANIZATION, self._clock())
            account = self.insert(
                tx, organization_id, FIRST_EMAIL, FIRST_USERNAME, None, OWNER, hashed
            )
            subject = f"account:{account.id}"
            self._audit.record_in(
                tx, Caller("system", organization_id, frozenset()), "account.created", subject
            )

        await self._db.write(work)
        return FIRST_USERNAME, password

    # --- signing in ---

    async def login(
        self,
        username_or_email: str,
        password: str,
        remote: str,
        *,
        organization_id: int | None = None,
    ) -> Tokens:
        """Return tokens for an organisation, None = the oldest that the person belongs to.

        Raises UnauthenticatedError, with the same words after the same time whatever is wrong, and
        TooManyAttemptsError after failures; ForbiddenError to the right person in another
        organisation than his.
        """
        name = username_or_email.strip()
        self._throttle.enter_login(name, remote)
        account = self._directory.by_login(name)
        account_id = account.id if account is not None else 0
        stored = await self._db.read(lambda c: repository.password_hash(c, account_id))
        tokens = None
        if await self._passwords.matches(stored, password) and account is not None:
            placed = self._directory.find(account.id, organization_id)
            if placed is None:
                raise ForbiddenError(_NOT_YOURS)
            tokens = await self._db.write(lambda tx: self._log_in(tx, placed, stored, remote))
        if tokens is None:
            await self._record_failure(account, "login.failed", remote)
            raise UnauthenticatedError("The user name or the password is wrong.")
        self._throttle.logged_in(name, remote)
        return tokens

    async def switch(self, caller: Caller, organization_id: int) -> Tokens:
        """Return tokens of a new login for another of the caller's organisations.

        Raises ForbiddenError if he does not belong to it, or is no person.
        """
        account = self._directory.find(caller.account_id, organization_id)
        if account is None:
            raise ForbiddenError(_NOT_YOURS)

        def work(tx: Transaction) -> Tokens:
            who = _caller(account, caller.remote)
            self._audit.record_in(tx, who, "login.switched", f"account:{account.id}")
            tokens = self._give_tokens(tx, account, self._new_family(tx, account))
            repository.remove_old_tokens(tx, account.id, families=LOGINS_MOST, at=self._clock())
            return tokens

        return await self._db.write(work)

    def _new_family(self, tx: Transaction, account: Account) -> str:
        family = secrets.token_hex(16)
        repository.insert_login(tx, family, account.id, account.organization_id)
        return family

    def _log_in(
        self, tx: Transaction, account: Account, stored: str | None, remote: str
    ) -> Tokens | None:
        if repository.password_hash(tx.connection, account.id) != stored:
            return None  # closed, or given another password, while this one was checked
        at = self._clock()
        repository.update_account(tx, account.id, {"last_login_at": at})
        account = msgspec.structs.replace(account, last_login_at=at)
        tx.after_commit(lambda: self._directory.change(account.id, last_login_at=at))
        self._audit.record_in(tx, _caller(account, remote), "login", f"account:{account.id}")
        tokens = self._give_tokens(tx, account, self._new_family(tx, account))
        repository.remove_old_tokens(tx, account.id, families=LOGINS_MOST, at=at)
        return tokens

    def _give_tokens(self, tx: Transaction, account: Account, family: str) -> Tokens:
        at = self._clock()
        refresh_token = new_refresh_token()
        repository.insert_refresh_token(
            tx,
            account_id=account.id,
            token_hash=refresh_token_hash(refresh_token),
            family=family,
            expires_at=at + REFRESH_LIFE_S * 1_000_000,
            at=at,
        )
        version = self._directory.version(account.id)
        return Tokens(self._access_tokens.issue(account, version), refresh_token, account)

    async def _record_failure(self, account: Account | None, action: str, remote: str) -> None:
        # A name that nobody has is not written down: now and then it is somebody's password.
        organization_id = account.organization_id if account is not None else 0
        await self._audit.record(
            Caller("anonymous", organization_id, frozenset(), remote=remote),
            action,
            f"account:{account.id}" if account is not None else None,
            outcome="refused",
        )

    async def refresh(self, refresh_token: str, remote: str) -> Tokens:
        """Return new tokens for a refresh token, which is used up by that.

        Raises UnauthenticatedError; if the token was used before, the whole login ends.
        """
        token_hash = refresh_token_hash(refresh_token)

        def work(tx: Transaction) -> Tokens | None:
            found = repository.find_refresh_token(tx.connection, token_hash)
            if found is None:
                return None
            organization_id = repository.organization_of_login(tx.connection, found.family)
            account = self._directory.find(found.account_id, organization_id)
            if account is None:
                return None
            at = self._clock()
            if found.revoked_at is not None or found.expires_at <= at:
                return None
            if not repository.is_active(tx.connection, account.id):
                return None
            if found.used_at is not None:
                repository.revoke_family(tx, found.family, at)
                self._audit.record_in(
                    tx,
                    Caller("anonymous", account.organization_id, frozenset(), remote=remote),
                    "login.refresh_reused",
                    f"account:{account.id}",
                    outcome="refused",
                )
                return None
            repository.use_refresh_token(tx, found.id, at)
            return self._give_tokens(tx, account, found.family)

        tokens = await self._db.write(work)
        if tokens is None:
            raise UnauthenticatedError(
                "The refresh token is unknown, used, expired or revoked. Sign in again."
            )
        return tokens

    async def logout(self, refresh_token: str) -> None:
        """End the login that this refresh token belongs to; an unknown one ends nothing."""
        token_hash = refresh_token_hash(refresh_token)

        def work(tx: Transaction) -> None:
            found = repository.find_refresh_token(tx.connection, token_hash)
            if found is not None:
                repository.revoke_family(tx, found.family, self._clock())

        await self._db.write(work)

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Replace the caller's own password; all his logins end.

        Raises InvalidValueError if the old one is wrong, TooManyAttemptsError after failures.
        """
        check_password(new, "new_password")
        # The prefix keeps these attempts apart from those at the door, which anybody can make.
        name = f"change:{caller.account_id}"
        self._throttle.enter(name, caller.remote)
        stored = await self._db.read(lambda c: repository.password_hash(c, caller.account_id))
        if not await self._passwords.matches(stored, old):
            await self._audit.record(caller, "password.refused", caller.actor, outcome="refused")
            raise InvalidValueError("old_password is wrong.", field="old_password")
        self._throttle.succeeded(name, caller.remote)
        hashed = await self._passwords.hash(new)

        def work(tx: Transaction) -> None:
            if repository.password_hash(tx.connection, caller.account_id) != stored:
                raise ConflictError("The password was changed by somebody else meanwhile.")
            repository.update_account(tx, caller.account_id, {"password_hash": hashed})
            self._end_logins(tx, caller.account_id, "password changed")
            self._audit.record_in(tx, caller, "password.changed", caller.actor)

        await self._db.write(work)

    def _end_logins(self, tx: Transaction, account_id: int, reason: str) -> None:
        """End every refresh token, access token and connection of an account, with the commit."""
        repository.revoke_account(tx, account_id, self._clock())
        version = repository.raise_version(tx, account_id)

        def after() -> None:
            self._directory.set_version(account_id, version)
            self._disconnect(account_id, reason)

        tx.after_commit(after)

    def _disconnect(self, account_id: int, reason: str) -> None:
        if self._downlink is not None:
            self._downlink.disconnect_identity(f"account:{account_id}", reason)

    async def authenticate_token(self, token: str, remote: str) -> Caller:
        """Return whom an access token speaks of, with what he may do at this moment.

        Raises UnauthenticatedError; ForbiddenError if a genuine token names nobody we know.
        """
        return (await self.identify(token, remote))[0]

    async def identify(self, token: str, remote: str) -> tuple[Caller, int]:
        """Return whom an access token speaks of, and when it expires (microseconds UTC).

        Raises as `authenticate_token`.
        """
        claims = await self._access_tokens.verify(token)
        if claims.account_id is not None:
            account = self._directory.find(claims.account_id, claims.organization_id)
            if account is None and self._directory.find(claims.account_id) is not None:
                raise UnauthenticatedError("You do not belong to this organisation any more.")
        elif claims.email:
            # A user name is no proof against an e-mail address that says somebody else.
            account = self._directory.by_email(claims.email)
        else:
            account = self._directory.by_username(claims.username)
        if account is None:
            raise ForbiddenError(
                f"{(claims.email or claims.username or 'This person')[:320]!r} has no account "
                "here. An administrator can make one."
            )
        if not account.is_active:
            raise UnauthenticatedError("This account is closed.")
        if claims.version is not None and claims.version != self._directory.version(account.id):
            raise UnauthenticatedError(
                "The access token ended when the password was changed or the account closed. "
                "Sign in again."
            )
        return _caller(account, remote), claims.expires_at

    def caller_of(self, account_id: int, organization_id: int | None = None) -> Caller | None:
        """Return an account as one who asks, with what he may do now; None if closed or unknown."""
        account = self._directory.find(account_id, organization_id)
        return None if account is None or not account.is_active else _caller(account, "")

    # --- managing ---

    def me(self, caller: Caller) -> Account:
        """Return the caller's own account. Raises NotFoundError if it is no person who asks."""
        return self._of_caller(caller, caller.account_id)

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Account]:
        """Return the organisation's accounts in the order they were made."""
        caller.require(MANAGE)
        check_limit(limit)
        after_id = decode_cursor(cursor, 1)[0] if cursor is not None else 0
        found = self._directory.of_organization(caller.organization_id, after_id)
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def get(self, caller: Caller, account_id: int) -> Account:
        """Return one account of the organisation."""
        caller.require(MANAGE)
        return self._of_caller(caller, account_id)

    async def create_account(
        self,
        caller: Caller,
        *,
        email: str,
        username: str,
        role: str,
        full_name: str = "",
        password: str | None = None,
    ) -> Account:
        """Make an account in the caller's organisation; without a password it signs in elsewhere.

        Raises ConflictError if e-mail or user name is taken, ForbiddenError if the role stands
        above the caller's.
        """
        caller.require(MANAGE)
        email, username = clean_email(email), clean_username(username)
        name = clean_full_name(full_name)
        _check_may_give(caller, role)
        hashed = await self._hash(password)

        def work(tx: Transaction) -> Account:
            account = self.insert(tx, caller.organization_id, email, username, name, role, hashed)
            detail = {"username": username, "role": role}
            self._audit.record_in(
                tx, caller, "account.created", f"account:{account.id}", detail=detail
            )
            return account

        try:
            return await self._db.write(work)
        except IntegrityError:
            raise self._taken(email) from None

    async def update(
        self,
        caller: Caller,
        account_id: int,
        *,
        email: str | None = None,
        username: str | None = None,
        full_name: str | None = None,
        role: str | None = None,
        password: str | None = None,
        is_active: bool | None = None,
        expects: Callable[[Account], None] | None = None,
    ) -> Account:
        """Change what is given; another password or closing the account ends all its logins.

        `expects` is called with the account as it is and may raise.

        Raises ConflictError if a name is taken or it is the last owner, ForbiddenError if account
        or role stands above the caller.
        """
        caller.require(MANAGE)
        fields: dict[str, Any] = {}
        if email is not None:
            fields["email"] = clean_email(email)
        if username is not None:
            fields["username"] = clean_username(username)
        if full_name is not None:
            fields["full_name"] = clean_full_name(full_name)
        if is_active is not None:
            fields["is_active"] = is_active
        if role is not None:
            _check_may_give(caller, role)
        self._of_caller(caller, account_id)
        hashed = await self._hash(password)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above(account.role, caller.role):
                raise ForbiddenError("This account's role stands above yours.")
            if expects is not None:  # of the database: the directory may be a commit behind
                stored = repository.find_account(tx.connection, account_id, caller.organization_id)
                expects(account if stored is None else stored)
            if fields or hashed is not None:
                self._check_is_ours_alone(tx, caller, account_id)
            columns = fields | ({"password_hash": hashed} if hashed is not None else {})
            if columns:
                repository.update_account(tx, account_id, columns)
            changes = dict(fields)
            if role is not None:
                set_role(tx, Membership(caller.organization_id, account_id, role))
                changes["role"] = role
            # Asked of the database whatever the account was: the directory may be a commit behind.
            _check_an_owner_is_left(tx, caller.organization_id)
            for place in members_of_account(tx.connection, account_id) if fields else ():
                _check_an_owner_is_left(tx, place.organization_id)

            def after() -> None:
                self._directory.change(account_id, **fields)
                if role is not None:
                    self._directory.join(account_id, caller.organization_id, role)
                    self._disconnect(account_id, "account changed")

            tx.after_commit(after)
            if hashed is not None or is_active is False:
                self._end_logins(tx, account_id, "account changed")
            detail = changes | ({"password": "changed"} if hashed is not None else {})
            self._audit.record_in(
                tx, caller, "account.changed", f"account:{account_id}", detail=detail
            )

        try:
            await self._db.write(work)
        except IntegrityError:
            raise self._taken(fields.get("email")) from None
        return self._of_caller(caller, account_id)

    async def deactivate(self, caller: Caller, account_id: int) -> None:
        """Close an account. It stays on record and can be opened again."""
        await self.update(caller, account_id, is_active=False)

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

    # --- memberships ---

    async def organizations_of(self, caller: Caller) -> Sequence[tuple[Organization, str]]:
        """Return the organisations the caller belongs to, the oldest first, with his roles."""
        roles = self._directory.places(caller.account_id)
        found = await self._db.read(lambda c: find_organizations(c, list(roles)))
        return [(each, roles[each.id]) for each in found]

    def admit(
        self,
        tx: Transaction,
        account_id: int,
        organization_id: int,
        role: str,
    ) -> None:
        """Give an account a place in an organisation. Raises ConflictError if it has one."""
        if any(
            place.organization_id == organization_id
            for place in members_of_account(tx.connection, account_id)
        ):
            raise ConflictError("This person is a member already.")
        insert_member(tx, Membership(organization_id, account_id, role), self._clock())
        tx.after_commit(lambda: self._directory.join(account_id, organization_id, role))

    async def prove(self, account: Account, password: str, remote: str) -> None:
        """Raise UnauthenticatedError unless it is the account's password; throttled as a login."""
        self._throttle.enter_login(account.email, remote)
        stored = await self._db.read(lambda c: repository.password_hash(c, account.id))
        if not await self._passwords.matches(stored, password):
            await self._record_failure(account, "login.failed", remote)
            raise UnauthenticatedError("The user name or the password is wrong.")
        self._throttle.logged_in(account.email, remote)

    def placed(self, account_id: int, organization_id: int) -> Account:
        """Return an account in an organisation. Raises NotFoundError."""
        account = self._directory.find(account_id, organization_id)
        if account is None:
            raise NotFoundError(f"There is no account {account_id}.")
        return account

    def home_of(self, account_id: int) -> int:
        """Return the oldest organisation of an account."""
        return min(self._directory.places(account_id))

    def by_email(self, email: str) -> Account | None:
        """Return the account with this e-mail address, whichever organisation's it is."""
        return self._directory.by_email(email)

    async def hash_password(self, password: str, field: str) -> str:
        """Return the hash of a new password. Raises InvalidValueError, TooManyAttemptsError."""
        check_password(password, field)
        return await self._passwords.hash(password)

    def may_reset(self, tx: Transaction, caller: Caller, account_id: int) -> None:
        """Raise ForbiddenError or NotFoundError unless the caller may replace this password."""
        account = self._of_caller(caller, account_id)
        if is_above(account.role, caller.role):
            raise ForbiddenError("This account's role stands above yours.")
        self._check_is_ours_alone(tx, caller, account_id)

    def set_password(self, tx: Transaction, account_id: int, hashed: str) -> None:
        """Replace a password; all the account's logins end."""
        repository.update_account(tx, account_id, {"password_hash": hashed})
        self._end_logins(tx, account_id, "password changed")

    async def remove_member(self, caller: Caller, account_id: int) -> None:
        """End a membership; the person's logins for this organisation end at once.

        Raises ConflictError if it is the last owner, or the person belongs nowhere else.
        """
        caller.require(MANAGE)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above(account.role, caller.role):
                raise ForbiddenError("This account's role stands above yours.")
            if len(members_of_account(tx.connection, account_id)) < 2:
                raise ConflictError(
                    "This person belongs to no other organisation: close the account instead."
                )
            remove_member(tx, caller.organization_id, account_id)
            _check_an_owner_is_left(tx, caller.organization_id)
            repository.revoke_logins_for(tx, account_id, caller.organization_id, self._clock())

            def after() -> None:
                self._directory.leave(account_id, caller.organization_id)
                self._disconnect(account_id, "membership ended")

            tx.after_commit(after)
            self._audit.record_in(tx, caller, "member.removed", f"account:{account_id}")

        await self._db.write(work)

    async def create_organization(self, caller: Caller, name: str) -> int:
        """Make an organisation that the caller owns and return its key.

        Raises ForbiddenError to all but the owners of the first organisation, whose server it is;
        ConflictError if the name is taken, TooManyError past the bound.
        """
        caller.require(CREATE_ORGANIZATION)
        if caller.organization_id != PLATFORM_ORGANIZATION or not caller.account_id:
            raise ForbiddenError("Only owners of the server's first organisation make others.")
        name = clean_organization_name(name)

        def work(tx: Transaction) -> int:
            if count_organizations(tx.connection) >= ORGANIZATIONS_MOST:
                raise TooManyError(f"There are {ORGANIZATIONS_MOST} organisations, the most.")
            at = self._clock()
            id = insert_organization(tx, name, at)
            insert_member(tx, Membership(id, caller.account_id, OWNER), at)
            tx.after_commit(lambda: self._directory.join(caller.account_id, id, OWNER))
            self._audit.record_in(
                tx, caller, "organization.created", f"organization:{id}", detail={"name": name}
            )
            return id

        try:
            return await self._db.write(work)
        except IntegrityError:
            raise ConflictError("Another organisation has this name.", field="name") from None

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

    async def _hash(self, password: str | None) -> str | None:
        if password is None:
            return None
        check_password(password)
        return await self._passwords.hash(password)

    def _of_caller(self, caller: Caller, account_id: int) -> Account:
        account = self._directory.find(account_id, caller.organization_id)
        if account is None:
            raise NotFoundError(f"There is no account {account_id}.")
        return account

    def _taken(self, email: str | None) -> ConflictError:
        if email is not None and self._directory.by_email(email) is not None:
            return ConflictError("An account has this e-mail address already.", field="email")
        return ConflictError("An account has this user name already.", field="username")


def _caller(account: Account, remote: str) -> Caller:
    return Caller(
        actor=f"account:{account.id}",
        organization_id=account.organization_id,
        permissions=PERMISSIONS[account.role],
        account_id=account.id,
        email=account.email,
        username=account.username,
        role=account.role,
        remote=remote,
    )


def _check_may_give(caller: Caller, role: str) -> None:
    check_role(role)
    if is_above(role, caller.role):
        raise ForbiddenError(f"Only an {OWNER} can give the role {role!r}.")


def _check_an_owner_is_left(tx: Transaction, organization_id: int) -> None:
    owners = members_with_role(tx.connection, organization_id, OWNER)
    if repository.count_active(tx.connection, owners) == 0:
        raise ConflictError("This is the organisation's last owner: make another one first.")
