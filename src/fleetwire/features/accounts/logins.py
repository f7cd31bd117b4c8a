"""Logins: signing in, staying in, signing out.

A refresh token can be used once; using it again means that two have it, and ends the whole login.
Access tokens are not stored, but each names its login: one that has ended ends them, too.
"""

import secrets

import msgspec

from fleetwire.errors import ForbiddenError, UnauthenticatedError
from fleetwire.features.accounts import login_repository, repository
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.part import Part, caller_for, require_person, wrong
from fleetwire.features.accounts.tokens import (
    ACCESS_LIFE_S,
    REFRESH_LIFE_S,
    hash_of_token,
    new_refresh_token,
)
from fleetwire.kit.services import Caller
from fleetwire.store.database import Transaction

LOGINS_MOST = 100  # of one account at a time; the one that was used longest ago ends

_NOT_YOURS = "You do not belong to this organisation."


class Tokens(msgspec.Struct):
    """What a login gives; `login` is what it is called."""

    access_token: str
    refresh_token: str
    account: Account
    login: str
    issued_at: int
    expires_in_s: int = ACCESS_LIFE_S
    refresh_expires_in_s: int = REFRESH_LIFE_S

    @property
    def expires_at(self) -> int:
        """When the access token ends."""
        return self.issued_at + self.expires_in_s * 1_000_000

    @property
    def refresh_expires_at(self) -> int:
        """When the refresh token ends, if it is not used before."""
        return self.issued_at + self.refresh_expires_in_s * 1_000_000


class Logins(Part):
    """Each login is for one of a person's organisations."""

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
        if await self._is_password(stored, password) and account is not None:
            placed = self._directory.find(account.id, organization_id)
            if placed is None:
                raise ForbiddenError(_NOT_YOURS)
            tokens = await self._db.write(lambda tx: self._log_in(tx, placed, stored, remote))
        if tokens is None:
            await self._record_failure(account, "login.failed", remote)
            raise wrong()
        self._throttle.logged_in(name, remote)
        return tokens

    def name_in(self, realm: str, name: str) -> str:
        """Return the name of whoever is called so in a realm, or the name itself."""
        name = name.strip()
        inside = f"{realm}:{name}"
        return inside if realm and self._directory.by_username(inside) is not None else name

    async def switch(self, caller: Caller, organization_id: int) -> Tokens:
        """Return tokens of a new login for another of the caller's organisations.

        It ends with the one it is begun from: else an hour's access would become a month's. Raises
        ForbiddenError if he does not belong to it, or is no person.
        """
        require_person(caller)
        account = self._directory.find(caller.account_id, organization_id)
        if account is None:
            raise ForbiddenError(_NOT_YOURS)

        def work(tx: Transaction) -> Tokens:
            if not repository.is_active(tx.connection, account.id):
                raise UnauthenticatedError("This account is closed.")
            who = caller_for(account, caller.remote)
            self._audit.record_in(tx, who, "login.switched", f"account:{account.id}")
            return self._begin(tx, account, caller.remote, caller.login or None)

        return await self._db.write(work)

    def _log_in(
        self, tx: Transaction, account: Account, stored: str | None, remote: str
    ) -> Tokens | None:
        if repository.password_hash(tx.connection, account.id) != stored:
            return None  # closed, or given another password, while this one was checked
        at = self._clock()
        if not repository.use_password(tx, account.id, at):
            return None  # it was good once
        repository.update_account(tx, account.id, {"last_login_at": at})
        account = msgspec.structs.replace(account, last_login_at=at)
        tx.after_commit(lambda: self._directory.change(account.id, last_login_at=at))
        self._audit.record_in(tx, caller_for(account, remote), "login", f"account:{account.id}")
        return self._begin(tx, account, remote)

    def _begin(
        self, tx: Transaction, account: Account, remote: str, parent: str | None = None
    ) -> Tokens:
        """Begin a login; of those that are too many the oldest ends."""
        family = secrets.token_hex(16)
        login_repository.insert_login(
            tx, family, account.id, account.organization_id, remote, parent
        )
        tokens = self._give_tokens(tx, account, family)
        login_repository.remove_old_tokens(tx, account.id, families=LOGINS_MOST, at=self._clock())
        self._take_logins(tx, account.id)
        return tokens

    def _give_tokens(self, tx: Transaction, account: Account, family: str) -> Tokens:
        at = self._clock()
        refresh_token = new_refresh_token()
        login_repository.insert_refresh_token(
            tx,
            account_id=account.id,
            token_hash=hash_of_token(refresh_token),
            family=family,
            expires_at=at + REFRESH_LIFE_S * 1_000_000,
            at=at,
        )
        version = self._directory.version(account.id)
        access_token = self._access_tokens.issue(account, version, family)
        return Tokens(access_token, refresh_token, account, family, at)

    async def refresh(self, refresh_token: str, remote: str) -> Tokens:
        """Return new tokens for a refresh token, which is used up by that.

        Raises UnauthenticatedError; if the token was used before, the whole login ends.
        """
        token_hash = hash_of_token(refresh_token)

        def work(tx: Transaction) -> Tokens | None:
            found = login_repository.find_refresh_token(tx.connection, token_hash)
            if found is None:
                return None
            organization_id = login_repository.organization_of_login(tx.connection, found.family)
            account = self._directory.find(found.account_id, organization_id)
            if account is None or not account.is_active:
                return None
            at = self._clock()
            if found.revoked_at is not None or found.expires_at <= at:
                return None
            if not repository.is_active(tx.connection, account.id):
                return None
            if found.used_at is not None:
                self._end(tx, account.id, found.family, "refresh token used twice")
                self._audit.record_in(
                    tx,
                    Caller("anonymous", account.organization_id, frozenset(), remote=remote),
                    "login.refresh_reused",
                    f"account:{account.id}",
                    outcome="refused",
                )
                return None
            if organization_id is None:  # from before logins had organisations
                login_repository.insert_login(
                    tx, found.family, account.id, account.organization_id, remote
                )
                self._take_logins(tx, account.id)
            login_repository.use_refresh_token(tx, found.id, at)
            return self._give_tokens(tx, account, found.family)

        tokens = await self._db.write(work) if await self._is_known(token_hash) else None
        if tokens is None:
            raise UnauthenticatedError(
                "The refresh token is unknown, used, expired or revoked. Sign in again."
            )
        return tokens

    async def logout(self, token: str) -> None:
        """End the login that this refresh or access token belongs to; an unknown one ends nothing.

        Its access tokens end, and what is connected with them is closed.
        """
        account_id, family = 0, None
        token_hash = hash_of_token(token)
        if token.count(".") == 2:
            account_id, family = await self._login_of(token)
        if family is None and not await self._is_known(token_hash):
            return

        def work(tx: Transaction) -> None:
            found = login_repository.find_refresh_token(tx.connection, token_hash)
            if found is not None:
                self._sign_out(tx, found.account_id, found.family)
            elif family is not None:
                self._sign_out(tx, account_id, family)

        await self._db.write(work)

    def _sign_out(self, tx: Transaction, account_id: int, family: str) -> None:
        organization_id = login_repository.organization_of_login(tx.connection, family)
        self._end(tx, account_id, family, "signed out")
        if organization_id is not None:  # it went on until now
            actor = f"account:{account_id}"
            self._audit.record_in(tx, Caller(actor, organization_id, frozenset()), "logout", actor)

    async def _is_known(self, token_hash: str) -> bool:
        """Say whether there is such a refresh token: who guesses shall not keep the writer busy."""
        found = await self._db.read(lambda c: login_repository.find_refresh_token(c, token_hash))
        return found is not None

    async def _login_of(self, token: str) -> tuple[int, str | None]:
        try:
            claims = await self._access_tokens.verify(token)
        except (UnauthenticatedError, ForbiddenError):
            return 0, None
        return claims.account_id or 0, claims.login
