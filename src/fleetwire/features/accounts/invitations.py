"""Invitations: how people come into an organisation.

They go by a token that is shown once and handed over by whoever made it; only its hash is kept.
Somebody who has an account joins with his own password, so nobody is drawn into an organisation.
"""

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.part import MANAGE, is_above_caller
from fleetwire.features.accounts.rules import (
    check_role,
    clean_email,
    clean_full_name,
    clean_username,
)
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.accounts.tables import invitations
from fleetwire.features.accounts.tokens import hash_of_token
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database, Transaction

INVITATION_LIFE_US = 7 * 24 * 3600 * 1_000_000
OPEN_MOST = 1_000  # invitations of one organisation


class Invitation(msgspec.Struct):
    """An invitation. Instants are in microseconds UTC; the token is not here."""

    id: int
    organization_id: int
    email: str
    role: str
    expires_at: int
    accepted_at: int | None
    revoked_at: int | None
    created_at: int
    created_by: str


_columns = tuple(invitations.c[name] for name in Invitation.__struct_fields__)


class Invitations:
    """Makes, lists, revokes and accepts invitations."""

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

    async def create(self, caller: Caller, email: str, role: str) -> tuple[Invitation, str]:
        """Return a new invitation and its token.

        Raises InvalidValueError, ForbiddenError if the role stands above the caller's, and
        TooManyError past the bound.
        """
        caller.require(MANAGE)
        check_role(role)
        if is_above_caller(role, caller):
            raise ForbiddenError(f"The role {role!r} stands above yours.")
        email = clean_email(email)
        token = secrets.token_urlsafe(32)

        def work(tx: Transaction) -> Invitation:
            at = self._clock()
            open_ones = select(invitations.c.id).where(
                invitations.c.organization_id == caller.organization_id,
                invitations.c.accepted_at.is_(None),
                invitations.c.revoked_at.is_(None),
                invitations.c.expires_at > at,
            )
            if len(tx.connection.scalars(open_ones.limit(OPEN_MOST)).all()) >= OPEN_MOST:
                raise TooManyError(f"There are {OPEN_MOST} open invitations: revoke one.")
            row: dict[str, Any] = {
                "organization_id": caller.organization_id,
                "email": email,
                "role": role,
                "expires_at": at + INVITATION_LIFE_US,
                "accepted_at": None,
                "revoked_at": None,
                "created_at": at,
                "created_by": caller.actor,
            }
            made = tx.execute(
                insert(invitations).values(row | {"token_hash": hash_of_token(token)})
            )
            key = made.inserted_primary_key
            assert key is not None
            self._audit.record_in(
                tx, caller, "invitation.created", f"invitation:{key[0]}", detail={"role": role}
            )
            return Invitation(int(key[0]), **row)

        return await self._db.write(work), token

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Invitation]:
        """Return the organisation's invitations, also those that are over, the oldest first."""
        caller.require(MANAGE)
        check_limit(limit)
        after_id = decode_cursor(cursor, 1)[0] if cursor is not None else 0
        query = select(*_columns).where(
            invitations.c.organization_id == caller.organization_id, invitations.c.id > after_id
        )
        query = query.order_by(invitations.c.id).limit(limit + 1)
        found = await self._db.read(lambda c: [Invitation(*row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def revoke(self, caller: Caller, invitation_id: int) -> None:
        """Take an invitation back. Raises NotFoundError, ConflictError if it was accepted."""
        caller.require(MANAGE)

        def work(tx: Transaction) -> None:
            row = tx.connection.execute(
                select(invitations.c.accepted_at, invitations.c.revoked_at).where(
                    invitations.c.id == invitation_id,
                    invitations.c.organization_id == caller.organization_id,
                )
            ).one_or_none()
            if row is None:
                raise NotFoundError(f"There is no invitation {invitation_id}.")
            if row.accepted_at is not None:
                raise ConflictError("It was accepted: end the membership instead.")
            if row.revoked_at is None:
                _mark(tx, invitation_id, revoked_at=self._clock())
                self._audit.record_in(
                    tx, caller, "invitation.revoked", f"invitation:{invitation_id}"
                )

        await self._db.write(work)

    async def accept(
        self, token: str, *, username: str, full_name: str, password: str, remote: str
    ) -> Account:
        """Return the account that has joined; it is made if nobody has the e-mail address.

        Raises UnauthenticatedError if the invitation is not good or, where there is an account, the
        password not its, or who invited may not give the role any more; InvalidValueError,
        ConflictError.
        """
        found = await self._db.read(lambda c: self._open(c, token))
        known = self._accounts.by_email(found.email)
        hashed = None
        if known is not None:
            await self._accounts.prove(known, password, remote)
        else:
            username = clean_username(username)
            hashed = await self._accounts.hash_password(password, "password")

        def work(tx: Transaction) -> int:
            invitation = self._open(tx.connection, token)
            organization_id = invitation.organization_id
            if not self._accounts.may_still_give(
                invitation.created_by, organization_id, invitation.role
            ):
                raise UnauthenticatedError(
                    "Who invited you may not give this role any more. Ask for a new invitation."
                )
            if known is not None:
                account_id = known.id
                self._accounts.admit(tx, account_id, organization_id, invitation.role)
            else:
                account_id = self._accounts.insert(
                    tx,
                    organization_id,
                    invitation.email,
                    username,
                    clean_full_name(full_name),
                    invitation.role,
                    hashed,
                ).id
            _mark(tx, invitation.id, accepted_at=self._clock())
            actor = f"account:{account_id}"
            who = Caller(actor, organization_id, frozenset(), remote=remote)
            self._audit.record_in(
                tx, who, "invitation.accepted", actor, detail={"role": invitation.role}
            )
            return account_id

        try:
            account_id = await self._db.write(work)
        except IntegrityError:
            raise ConflictError(
                "An account has this user name already.", field="username"
            ) from None
        return self._accounts.placed(account_id, found.organization_id)

    def _open(self, connection: Connection, token: str) -> Invitation:
        query = select(*_columns).where(
            invitations.c.token_hash == hash_of_token(token),
            invitations.c.accepted_at.is_(None),
            invitations.c.revoked_at.is_(None),
            invitations.c.expires_at > self._clock(),
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise UnauthenticatedError("The invitation is unknown, used, expired or revoked.")
        return Invitation(*row)


def _mark(tx: Transaction, id: int, **when: int) -> None:
    tx.execute(update(invitations).where(invitations.c.id == id).values(when))
