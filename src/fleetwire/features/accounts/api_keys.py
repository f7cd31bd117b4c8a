"""ApiKeys: what services and programs sign in with.

A key's token is shown once, when it is made; only its hash is kept. It is sent as the MQTT
password, with any user name, or over HTTP as `Authorization: Bearer fwk_…`. What it may publish and
subscribe to, and its permissions over HTTP, are said when it is made. A person's own key may what
its permissions say and its person may at this moment, and ends with him (`personal_keys`).

Does not: let keys make keys or manage people, so that what leaks cannot outlive its own end.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fleetwire.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
)
from fleetwire.features.accounts import api_key_repository as repository
from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.key_ring import PREFIX, KeyRing, hash_of
from fleetwire.features.accounts.key_rules import (
    WRITE,
    check_end,
    check_is_inside,
    check_name,
    check_rights,
    check_scope,
)
from fleetwire.features.organizations.repository import count_organizations
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Transaction

READ = "key.read"
SERVICE = "service"
TOKEN_BYTES = 32  # 256 random bits: a fast hash is enough to store them
MAX_KEYS = 1_000  # usable ones of one organisation
MAX_OVER = 1_000  # that ended, of one organisation or one person; the oldest are forgotten


class NewApiKey(msgspec.Struct):
    """A key with its token, which is shown here and never again."""

    key: ApiKey
    token: str


class ApiKeys(KeyRing):
    """Makes, lists, finds and revokes keys. `load()` comes first."""

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        publish: Sequence[str],
        subscribe: Sequence[str],
        expires_at: int | None = None,
        permissions: Sequence[str] = (),
    ) -> NewApiKey:
        """Make a key; `publish` and `subscribe` are Topic Filters, with places (topic_rights).

        `permissions` are what it may do over HTTP: some of what the caller may. Raises
        InvalidValueError, ForbiddenError, ConflictError if the name is taken, TooManyError past the
        bound.
        """
        caller.require(WRITE)
        check_name(name)
        check_rights(publish, "publish")
        check_rights(subscribe, "subscribe")
        scope = check_scope(caller, permissions)
        if not publish and not subscribe and not scope:
            raise InvalidValueError(
                "A key needs something to publish or subscribe to, or a permission."
            )
        check_end(expires_at, self._clock())

        def check(tx: Transaction) -> None:
            at, organization_id = self._clock(), caller.organization_id
            if count_organizations(tx.connection) > 1:
                check_is_inside(publish, "publish")
                check_is_inside(subscribe, "subscribe")
            if repository.count_usable(tx.connection, organization_id, at) >= MAX_KEYS:
                raise TooManyError(f"There are {MAX_KEYS} keys, which is the most: revoke one.")
            if repository.count_usable(tx.connection, organization_id, at, name):
                raise ConflictError("A key has this name already.", field="name")

        return await self.issue(
            caller,
            {
                "name": name,
                "kind": SERVICE,
                "publish": list(publish),
                "subscribe": list(subscribe),
                "expires_at": expires_at,
                "account_id": None,
            },
            scope,
            check,
        )

    async def issue(
        self,
        caller: Caller,
        what: dict[str, Any],
        scope: Sequence[str],
        check: Callable[[Transaction], None],
    ) -> NewApiKey:
        """Store a key whose values are clean; `check` is called within and may raise."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)

        def work(tx: Transaction) -> ApiKey:
            check(tx)
            row = what | {
                "organization_id": caller.organization_id,
                "revoked_at": None,
                "last_used_at": None,
                "created_at": self._clock(),
                "created_by": caller.actor,
            }
            token_hash = hash_of(token.encode())
            id = repository.insert_key(tx, row | {"token_hash": token_hash})
            repository.insert_scope(tx, id, scope)
            key = ApiKey(id, **row, permissions=list(scope))
            told = ("name", "kind", "publish", "subscribe")
            detail = {each: what[each] for each in told} | {"permissions": list(scope)}
            self._audit.record_in(tx, caller, "key.created", f"key:{id}", detail=detail)
            gone = repository.remove_over(
                tx, key.organization_id, key.account_id, key.created_at, keep=MAX_OVER
            )
            tx.after_commit(lambda: self._take(token_hash, key, gone))
            return key

        return NewApiKey(await self._db.write(work), token)

    def _take(self, token_hash: str, key: ApiKey, gone: Sequence[int]) -> None:
        if gone:
            left = {hash: each for hash, each in self._by_hash.items() if each.id not in gone}
            self._by_hash = left
        self._by_hash[token_hash] = key

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[ApiKey]:
        """Return the organisation's keys and those of its people, in the order they were made.

        Also those that are over.
        """
        caller.require(READ)
        return await self.page(caller, limit, cursor)

    async def page(
        self, caller: Caller, limit: int, cursor: str | None, account_id: int | None = None
    ) -> Page[ApiKey]:
        """Return keys of the caller's organisation, None = everybody's, or of one of its people."""
        check_limit(limit)
        after_id = decode_cursor(cursor, 1)[0] if cursor is not None else 0
        organization_id = caller.organization_id
        found = await self._db.read(
            lambda c: repository.list_keys(c, organization_id, after_id, limit + 1, account_id)
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def revoke(self, caller: Caller, key_id: int) -> None:
        """Revoke a key and close what is connected with it. Twice is as good as once."""
        caller.require(WRITE)
        await self.end(caller, key_id)

    async def end(self, caller: Caller, key_id: int, account_id: int | None = None) -> None:
        """Revoke a key of the caller's organisation, None = whosever, or of one of its people.

        Raises NotFoundError.
        """

        def work(tx: Transaction) -> None:
            key = repository.find_key(tx.connection, caller.organization_id, key_id)
            if key is None or account_id not in (None, key.account_id):
                raise NotFoundError(f"There is no key {key_id}.")
            at = self._clock()
            repository.revoke_key(tx, key_id, at)
            self._audit.record_in(tx, caller, "key.revoked", f"key:{key_id}")

            tx.after_commit(lambda: self._forbid(lambda known: known.id == key_id, at))

        await self._db.write(work)

    def person_left(self, tx: Transaction, account_id: int, organization_id: int) -> None:
        """Revoke the keys of a person who leaves an organisation; if he comes back they stay so."""
        at = self._clock()
        repository.revoke_keys_of(tx, organization_id, account_id, at)

        def is_his(key: ApiKey) -> bool:
            return (key.account_id, key.organization_id) == (account_id, organization_id)

        tx.after_commit(lambda: self._forbid(is_his, at))
