"""Outsiders: people whom another issuer speaks of, found here or let in.

Somebody is found by his e-mail address, without one by his user name. Whom nobody knows is refused,
unless the settings say which role a token gives: then he gets an account without a password, which
administrators see, change and close as any other. A role that tokens say is stored when a newer
token says another one, and holds from then on for all of that person's tokens and keys.
"""

import re

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, ForbiddenError
from fleetwire.features.accounts import repository
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.outside import Outsider
from fleetwire.features.accounts.part import Part, check_an_owner_is_left
from fleetwire.features.accounts.rules import (
    MAX_FULL_NAME_CHARS,
    clean_email,
    clean_username,
    is_username,
)
from fleetwire.features.organizations.repository import (
    Membership,
    count_organizations,
    find_organization,
    find_organization_by_name,
    insert_member,
    set_role,
)
from fleetwire.kit.services import Caller
from fleetwire.store.database import Transaction

log = structlog.get_logger("fleetwire.accounts")

NAMES_TRIED = 100  # for a newcomer whose user name others have


class Outsiders(Part):
    """Asks the directory, and the database for what is new."""

    async def _outsider(self, outsider: Outsider, default_role: str | None) -> Account:
        """Return an outsider's account. Raises ForbiddenError."""
        account = self._known(outsider)
        if account is not None and not account.is_active:
            return account  # which whoever asks refuses
        role = outsider.role or default_role
        place = None
        if outsider.organization is not None:
            place = await self._db.read(lambda c: _organization(c, outsider.organization or ""))
        if account is None:
            if role is None:
                raise _nobody(outsider)
            return await self._let_in(outsider, place, role)
        placed = self._directory.find(account.id, place)
        if placed is None:
            if role is None:
                raise ForbiddenError("You do not belong to this organisation.")
            return await self._join(account, place or 0, role, outsider)
        if outsider.role is not None and outsider.role != placed.role:
            return await self._follow(placed, outsider.role, outsider)
        return placed

    def _known(self, outsider: Outsider) -> Account | None:
        if outsider.email:
            # A user name is no proof against an e-mail address that says somebody else.
            return self._directory.by_email(outsider.email)
        return self._directory.by_username(outsider.username)

    async def _let_in(self, outsider: Outsider, place: int | None, role: str) -> Account:
        if not outsider.email and not is_username(outsider.username):
            raise ForbiddenError(
                "The access token says neither an e-mail address nor a user name of letters, "
                "digits and . _ - : FLEETWIRE_JWT_EMAIL_CLAIM and FLEETWIRE_JWT_USERNAME_CLAIM "
                "name the claims that do."
            )
        email = clean_email(outsider.email) if outsider.email else ""
        full_name = outsider.full_name[:MAX_FULL_NAME_CHARS]

        def work(tx: Transaction) -> Account:
            organization_id = place if place is not None else _only_organization(tx.connection)
            account = self.insert(
                tx,
                organization_id,
                email,
                self._free_name(outsider),
                full_name if full_name.isprintable() and full_name else None,
                role,
                None,
            )
            self._note(tx, account.id, organization_id, "account.created", role, outsider)
            return account

        try:
            return await self._db.write(work)
        except IntegrityError:  # another request of his was faster
            account = self._known(outsider)
            if account is None:
                raise ConflictError("Somebody has this name already. Try again.") from None
            return account

    def _free_name(self, outsider: Outsider) -> str:
        if not outsider.email:
            return clean_username(outsider.username)
        wished = outsider.username or outsider.email.partition("@")[0]
        name = re.sub(r"[^a-z0-9._-]+", "-", wished.lower())[:100].lstrip("._-") or "person"
        others = (f"{name}-{number}" for number in range(2, NAMES_TRIED))
        for each in (name, *others):
            if self._directory.by_username(each) is None:
                return each
        raise ConflictError("Too many people have this user name.")

    async def _join(
        self, account: Account, organization_id: int, role: str, outsider: Outsider
    ) -> Account:
        def work(tx: Transaction) -> None:
            insert_member(tx, Membership(organization_id, account.id, role), self._clock())
            repository.forget_reset(tx, account.id)  # it would open this organisation, too
            tx.after_commit(lambda: self._directory.join(account.id, organization_id, role))
            self._note(tx, account.id, organization_id, "member.added", role, outsider)

        try:
            await self._db.write(work)
        except IntegrityError:
            log.debug("another request let the same person in", account=account.id)
        placed = self._directory.find(account.id, organization_id)
        if placed is None:
            raise ForbiddenError("You do not belong to this organisation.")
        return placed

    async def _follow(self, placed: Account, role: str, outsider: Outsider) -> Account:
        """Give somebody the role that a newer token than before says."""
        key = (placed.id, placed.organization_id)
        if outsider.said_at_s <= self._roles_said.get(key, 0.0):
            return placed
        self._roles_said[key] = outsider.said_at_s

        def work(tx: Transaction) -> None:
            set_role(tx, Membership(placed.organization_id, placed.id, role))
            check_an_owner_is_left(tx, placed.organization_id)

            def after() -> None:
                self._directory.join(placed.id, placed.organization_id, role)
                self._tell(placed.id, "role changed")

            tx.after_commit(after)
            self._note(tx, placed.id, placed.organization_id, "account.changed", role, outsider)

        try:
            await self._db.write(work)
        except ConflictError:
            log.warning("the last owner stays one, whatever his token says", account=placed.id)
        return self._directory.find(placed.id, placed.organization_id) or placed

    def _note(
        self,
        tx: Transaction,
        account_id: int,
        organization_id: int,
        action: str,
        role: str,
        outsider: Outsider,
    ) -> None:
        detail = {"role": role, "issuer": outsider.issuer[:200], "subject": outsider.subject[:200]}
        issuer = Caller("issuer", organization_id, frozenset())
        self._audit.record_in(tx, issuer, action, f"account:{account_id}", detail=detail)


def _organization(connection: Connection, said: str) -> int:
    found = find_organization_by_name(connection, said)
    if found is None and said.isascii() and said.isdigit() and len(said) <= 18:
        found = find_organization(connection, int(said))
    if found is None:
        raise ForbiddenError(
            f"The access token is for the organisation {said[:200]!r}, which is not here: an owner "
            "can make it."
        )
    return found.id


def _only_organization(connection: Connection) -> int:
    first = find_organization(connection, 1)
    if first is None or count_organizations(connection) != 1:
        raise ForbiddenError(
            "The access token does not say for which organisation it is: "
            "FLEETWIRE_JWT_ORGANIZATION_CLAIM names the claim that does."
        )
    return first.id


def _nobody(outsider: Outsider) -> ForbiddenError:
    return ForbiddenError(
        f"{outsider.name!r} has no account here. An administrator can make one, or "
        "FLEETWIRE_JWT_DEFAULT_ROLE lets in everybody whose token is genuine."
    )
