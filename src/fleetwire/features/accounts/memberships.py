"""Memberships: the organisations that people belong to, with a role in each."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, ForbiddenError, NotFoundError, TooManyError
from fleetwire.features.accounts import repository
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.part import (
    MANAGE,
    Part,
    is_above_caller,
    require_person,
)
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS, is_above
from fleetwire.features.accounts.rules import clean_organization_name
from fleetwire.features.audit.visibility import PLATFORM_ORGANIZATION
from fleetwire.features.organizations.repository import (
    Membership,
    Organization,
    count_organizations,
    find_organizations,
    insert_member,
    insert_organization,
    members_of_account,
)
from fleetwire.kit.services import Caller
from fleetwire.store.database import Transaction

CREATE_ORGANIZATION = "organization.create"
ORGANIZATIONS_MOST = 1_000


class Memberships(Part):
    """A person may belong to several organisations. Each login is for one of them."""

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
        repository.forget_reset(tx, account_id)  # it would open this organisation, too
        tx.after_commit(lambda: self._directory.join(account_id, organization_id, role))

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

    def may_still_give(self, actor: str, organization_id: int, role: str) -> bool:
        """Say whether whoever offered a role (`account:17`) could do so now."""
        kind, _, number = actor.partition(":")
        if kind != "account" or not number.isdigit():
            return False
        giver = self._directory.find(int(number), organization_id)
        return (
            giver is not None
            and giver.is_active
            and MANAGE in PERMISSIONS[giver.role]
            and not is_above(role, giver.role)
        )

    async def remove_member(self, caller: Caller, account_id: int) -> None:
        """End a membership; the person's logins for this organisation end at once.

        Raises ConflictError if it is the last owner, or the person belongs nowhere else.
        """
        caller.require(MANAGE)

        def work(tx: Transaction) -> None:
            account = self._of_caller(caller, account_id)
            if is_above_caller(account.role, caller):
                raise ForbiddenError("This account's role stands above yours.")
            if len(members_of_account(tx.connection, account_id)) < 2:
                raise ConflictError(
                    "This person belongs to no other organisation: close the account instead."
                )
            self._remove_from(tx, account_id, caller.organization_id)

            def after() -> None:
                self._directory.leave(account_id, caller.organization_id)
                self._tell(account_id, "membership ended")

            tx.after_commit(after)
            self._audit.record_in(tx, caller, "member.removed", f"account:{account_id}")

        await self._db.write(work)

    async def create_organization(self, caller: Caller, name: str) -> int:
        """Make an organisation that the caller owns and return its key.

        Raises ForbiddenError to all but the owners of the first organisation, whose server it is;
        ConflictError if the name is taken, TooManyError past the bound.
        """
        caller.require(CREATE_ORGANIZATION)
        require_person(caller)
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
