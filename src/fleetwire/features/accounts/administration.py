"""Administration: the people of an organisation, made, changed, closed and erased."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ForbiddenError
from fleetwire.features.accounts import repository
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.part import MANAGE, Part, check_an_owner_is_left, is_above_caller
from fleetwire.features.accounts.permissions import OWNER
from fleetwire.features.accounts.rules import (
    check_password,
    check_role,
    clean_email,
    clean_full_name,
    clean_username,
    in_realm,
    realm_of,
)
from fleetwire.features.organizations.repository import (
    Membership,
    members_of_account,
    set_role,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Transaction


class Administration(Part):
    """Needs `account.manage`; nobody changes whoever stands above him."""

    def me(self, caller: Caller) -> Account:
        """Return the caller's own account. Raises NotFoundError if it is no person who asks."""
        return self._of_caller(caller, caller.account_id)

    async def list(
        self,
        caller: Caller,
        *,
        realm: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Account]:
        """Return the organisation's accounts, or those of a realm, in the order they were made."""
        caller.require(MANAGE)
        check_limit(limit)
        after_id = decode_cursor(cursor, 1)[0] if cursor is not None else 0
        found = self._directory.of_organization(caller.organization_id, after_id)
        if realm is not None:
            found = [each for each in found if realm_of(each.username) == realm]
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
        email: str | None,
        username: str,
        role: str,
        full_name: str = "",
        password: str | None = None,
        realm: str = "",
    ) -> Account:
        """Make an account in the caller's organisation; without a password it signs in elsewhere.

        Raises ConflictError if e-mail or user name is taken, ForbiddenError if the role stands
        above the caller's.
        """
        caller.require(MANAGE)
        address = "" if email is None else clean_email(email)
        username = in_realm(realm, clean_username(username))
        name = clean_full_name(full_name)
        _check_may_give(caller, role)
        hashed = await self._hash(password)

        def work(tx: Transaction) -> Account:
            organization_id = caller.organization_id
            account = self.insert(tx, organization_id, address, username, name, role, hashed)
            detail = {"username": username, "role": role}
            self._audit.record_in(
                tx, caller, "account.created", f"account:{account.id}", detail=detail
            )
            return account

        try:
            return await self._db.write(work)
        except IntegrityError:
            raise self._taken(address) from None

    async def create_known(
        self, organization_id: int, *, username: str, password: str, role: str, realm: str
    ) -> Account | None:
        """Make an account for demonstrations, however short its password; None if it is there.

        It is closed in every house that does not allow this, until it has another password.
        Raises ForbiddenError in such a house.
        """
        if not self.allows_known_passwords:
            raise ForbiddenError(
                "People whose password everybody knows are made with --demo on loopback only."
            )
        check_role(role)
        name = in_realm(realm, clean_username(username))
        if self._directory.by_username(name) is not None:
            return None
        hashed = repository.KNOWN + await self._passwords.hash(password)

        def work(tx: Transaction) -> Account:
            account = self.insert(tx, organization_id, "", name, None, role, hashed)
            house = Caller("system", organization_id, frozenset())
            detail = {"username": name, "role": role, "demo": True}
            self._audit.record_in(
                tx, house, "account.created", f"account:{account.id}", detail=detail
            )
            return account

        return await self._db.write(work)

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
        known = self._of_caller(caller, account_id)
        fields: dict[str, Any] = {}
        if email is not None:
            fields["email"] = clean_email(email)
        if username is not None:
            realm = realm_of(known.username)
            bare = username.strip().removeprefix(in_realm(realm, ""))
            fields["username"] = in_realm(realm, clean_username(bare))
        if full_name is not None:
            fields["full_name"] = clean_full_name(full_name)
        if is_active is not None:
            fields["is_active"] = is_active
        if role is not None:
            _check_may_give(caller, role)
        hashed = await self._hash(password)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above_caller(account.role, caller):
                raise ForbiddenError("This account's role stands above yours.")
            if expects is not None:  # of the database: the directory may be a commit behind
                stored = repository.find_account(tx.connection, account_id, caller.organization_id)
                expects(account if stored is None else stored)
            if fields or hashed is not None:
                self._check_is_ours_alone(tx, caller, account_id)
            if fields:
                repository.update_account(tx, account_id, fields)
            if hashed is not None:
                repository.set_password(tx, account_id, hashed)
            changes = dict(fields)
            if role is not None:
                set_role(tx, Membership(caller.organization_id, account_id, role))
                changes["role"] = role
            # Asked of the database whatever the account was: the directory may be a commit behind.
            check_an_owner_is_left(tx, caller.organization_id)
            for place in members_of_account(tx.connection, account_id) if fields else ():
                check_an_owner_is_left(tx, place.organization_id)

            def after() -> None:
                self._directory.change(account_id, **fields)
                if role is not None:
                    self._directory.join(account_id, caller.organization_id, role)
                    self._tell(account_id, "account changed")

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

    async def erase(self, caller: Caller, account_id: int) -> None:
        """Remove a person from the organisation, for good; all logins and keys for it end.

        Where it was the only one, names, address and password go, too. The number is never given to
        anybody else, so the audit stays true. Raises ConflictError if it is the last owner.
        """
        caller.require(MANAGE)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above_caller(account.role, caller):
                raise ForbiddenError("This account's role stands above yours.")
            is_elsewhere = len(members_of_account(tx.connection, account_id)) > 1
            self._remove_from(tx, account_id, caller.organization_id)
            if not is_elsewhere:
                repository.erase_account(tx, account_id)
                self._end_logins(tx, account_id, "account erased")

            def after() -> None:
                if is_elsewhere:
                    self._directory.leave(account_id, caller.organization_id)
                else:
                    self._directory.remove(account_id)
                self._tell(account_id, "account erased")

            tx.after_commit(after)
            self._audit.record_in(tx, caller, "account.erased", f"account:{account_id}")

        await self._db.write(work)

    async def _hash(self, password: str | None) -> str | None:
        if password is None:
            return None
        check_password(password)
        return await self._passwords.hash(password)


def _check_may_give(caller: Caller, role: str) -> None:
    check_role(role)
    if is_above_caller(role, caller):
        raise ForbiddenError(f"Only an {OWNER} can give the role {role!r}.")
