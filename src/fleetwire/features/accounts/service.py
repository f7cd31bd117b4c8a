"""Accounts: people's accounts, how they sign in, and who a token speaks of.

A refresh token can be used once; using it again means that two have it, and ends the whole login.
Access tokens are not stored: they live an hour, but what they allow is looked up for each request,
so a closed account or another role counts at once.
"""

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
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
from fleetwire.features.organizations.repository import (
    Membership,
    insert_member,
    insert_organization,
    members_with_role,
    set_role,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.net.clients import Downlink
from fleetwire.store.database import Database, Transaction

MANAGE = "account.manage"
LOGINS_MOST = 100  # of one account at a time; the one that was used longest ago ends
FIRST_ORGANIZATION = "Default"
FIRST_USERNAME = "admin"
FIRST_EMAIL = "admin@fleetwire.local"


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
        self._access_tokens = AccessTokens(secret, keys, clock)

    async def bootstrap(self) -> tuple[str, str] | None:
        """Load the accounts; where there are none, make the first and return its login, once."""
        for account in await self._db.read(repository.all_accounts):
            self._directory.put(account)
        if len(self._directory):
            return None
        password = random_password()
        hashed = await self._passwords.hash(password)

        def work(tx: Transaction) -> None:
            organization_id = insert_organization(tx, FIRST_ORGANIZATION, self._clock())
            account = self._insert(
                tx, organization_id, FIRST_EMAIL, FIRST_USERNAME, None, OWNER, hashed
            )
            subject = f"account:{account.id}"
            self._audit.record_in(
                tx, Caller("system", organization_id, frozenset()), "account.created", subject
            )

        await self._db.write(work)
        return FIRST_USERNAME, password

    # --- signing in ---

    async def login(self, username_or_email: str, password: str, remote: str) -> Tokens:
        """Return tokens.

        Raises UnauthenticatedError, with the same words after the same time whatever is wrong, and
        TooManyAttemptsError after failures.
        """
        name = username_or_email.strip()
        self._throttle.enter(name, remote)
        account = self._directory.by_login(name)
        account_id = account.id if account is not None else 0
        stored = await self._db.read(lambda c: repository.password_hash(c, account_id))
        tokens = None
        if await self._passwords.matches(stored, password) and account is not None:
            tokens = await self._db.write(lambda tx: self._log_in(tx, account, stored, remote))
        if tokens is None:
            await self._record_failure(account, "login.failed", remote)
            raise UnauthenticatedError("The user name or the password is wrong.")
        self._throttle.succeeded(name, remote)
        return tokens

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
        tokens = self._give_tokens(tx, account, secrets.token_hex(16))
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
        return Tokens(self._access_tokens.issue(account), refresh_token, account)

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
            account = self._directory.find(found.account_id) if found is not None else None
            if found is None or account is None:
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
            repository.revoke_account(tx, caller.account_id, self._clock())
            self._audit.record_in(tx, caller, "password.changed", caller.actor)

        await self._db.write(work)

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
            account = self._directory.find(claims.account_id)
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
        return _caller(account, remote), claims.expires_at

    # --- managing ---

    def me(self, caller: Caller) -> Account:
        """Return the caller's own account."""
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
            account = self._insert(tx, caller.organization_id, email, username, name, role, hashed)
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
    ) -> Account:
        """Change what is given; another password or closing the account ends all its logins.

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
            columns = fields | ({"password_hash": hashed} if hashed is not None else {})
            if columns:
                repository.update_account(tx, account_id, columns)
            changes = dict(fields)
            if role is not None:
                set_role(tx, Membership(caller.organization_id, account_id, role))
                changes["role"] = role
            # Asked of the database whatever the account was: the directory may be a commit behind.
            _check_an_owner_is_left(tx, caller.organization_id)
            if hashed is not None or is_active is False:
                repository.revoke_account(tx, account_id, self._clock())

            def after() -> None:
                self._directory.change(account_id, **changes)
                if self._downlink is not None and (is_active is False or role is not None):
                    self._downlink.disconnect_identity(f"account:{account_id}", "account changed")

            tx.after_commit(after)
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

    def _insert(
        self,
        tx: Transaction,
        organization_id: int,
        email: str,
        username: str,
        full_name: str | None,
        role: str,
        password_hash: str | None,
    ) -> Account:
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
        account = self._directory.find(account_id)
        if account is None or account.organization_id != caller.organization_id:
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
