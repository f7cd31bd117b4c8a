"""ApiKeys: what services and programs of an organisation sign in with.

A key's token is shown once, when it is made; only its hash is kept. It is sent as the MQTT
password, with any user name, or over HTTP as `Authorization: Bearer fwk_…`. What it may publish and
subscribe to, and its permissions over HTTP, are said when it is made.

Does not: let keys make keys or manage people, so that what leaks cannot outlive its own end.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from fleetwire.broker.topic_rights import check
from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.accounts import api_key_repository as repository
from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.repository import count_organizations
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.net.clients import Downlink
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.store.database import Database, Transaction

READ = "key.read"
WRITE = "key.write"
PREFIX = "fwk_"  # tells a key's token from other passwords, and finds one in a file it leaked to
SERVICE = "service"
FOR_PEOPLE_ONLY = frozenset({"account.manage", WRITE, "organization.create"})
TOKEN_BYTES = 32  # 256 random bits: a fast hash is enough to store them
MAX_KEYS = 1_000  # usable ones of one organisation
MAX_RIGHTS = 64  # each is looked at for a new topic
MAX_RIGHT_CHARS = 512
MAX_NAME_CHARS = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class NewApiKey(msgspec.Struct):
    """A key with its token, which is shown here and never again."""

    key: ApiKey
    token: str


class ApiKeys:
    """Makes, lists, finds and revokes keys. `load()` comes first."""

    def __init__(
        self,
        db: Database,
        audit: SqlAudit,
        downlink: Downlink,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._audit = audit
        self._downlink = downlink
        self._clock = clock
        self._by_hash: dict[str, ApiKey] = {}
        self._used: dict[int, int] = {}  # key → when; bounded by how many there are

    async def load(self) -> None:
        """Learn the keys from the database, before anybody signs in."""
        self._by_hash.update(await self._db.read(repository.all_keys))

    # --- managing ---

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
        if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
            raise InvalidValueError(
                f"name must have 1 to {MAX_NAME_CHARS} letters, digits or . _ - and begin with a "
                "letter or digit",
                field="name",
            )
        _check_rights(publish, "publish")
        _check_rights(subscribe, "subscribe")
        scope = sorted(set(permissions))
        _check_scope(caller, scope)
        if not publish and not subscribe and not scope:
            raise InvalidValueError(
                "A key needs something to publish or subscribe to, or a permission."
            )
        if expires_at is not None and expires_at <= self._clock():
            raise InvalidValueError("expires_at has passed already", field="expires_at")
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)

        def work(tx: Transaction) -> ApiKey:
            at = self._clock()
            organization_id = caller.organization_id
            if count_organizations(tx.connection) > 1:
                _check_is_inside(publish, "publish")
                _check_is_inside(subscribe, "subscribe")
            if repository.count_usable(tx.connection, organization_id, at) >= MAX_KEYS:
                raise TooManyError(f"There are {MAX_KEYS} keys, which is the most: revoke one.")
            if repository.count_usable(tx.connection, organization_id, at, name):
                raise ConflictError("A key has this name already.", field="name")
            row: dict[str, Any] = {
                "organization_id": organization_id,
                "name": name,
                "kind": SERVICE,
                "publish": list(publish),
                "subscribe": list(subscribe),
                "expires_at": expires_at,
                "revoked_at": None,
                "last_used_at": None,
                "created_at": at,
                "created_by": caller.actor,
            }
            token_hash = hash_of(token.encode())
            id = repository.insert_key(tx, row | {"token_hash": token_hash})
            repository.insert_scope(tx, id, scope)
            key = ApiKey(id, **row, permissions=scope)
            self._audit.record_in(
                tx,
                caller,
                "key.created",
                f"key:{id}",
                detail={
                    "name": name,
                    "publish": list(publish),
                    "subscribe": list(subscribe),
                    "permissions": scope,
                },
            )
            tx.after_commit(lambda: self._by_hash.update({token_hash: key}))
            return key

        return NewApiKey(await self._db.write(work), token)

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[ApiKey]:
        """Return the organisation's keys, also the revoked ones, in the order they were made."""
        caller.require(READ)
        check_limit(limit)
        after_id = decode_cursor(cursor, 1)[0] if cursor is not None else 0
        found = await self._db.read(
            lambda c: repository.list_keys(c, caller.organization_id, after_id, limit + 1)
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def revoke(self, caller: Caller, key_id: int) -> None:
        """Revoke a key and close what is connected with it. Twice is as good as once."""
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            key = repository.find_key(tx.connection, caller.organization_id, key_id)
            if key is None:
                raise NotFoundError(f"There is no key {key_id}.")
            at = self._clock()
            repository.revoke_key(tx, key_id, at)
            self._audit.record_in(tx, caller, "key.revoked", f"key:{key_id}")

            def after() -> None:
                for token_hash, known in self._by_hash.items():
                    if known.id == key_id:
                        self._by_hash[token_hash] = msgspec.structs.replace(known, revoked_at=at)
                self._downlink.disconnect_identity(identity_of(key), "revoked")

            tx.after_commit(after)

        await self._db.write(work)

    # --- signing in ---

    def find(self, token: bytes) -> ApiKey | None:
        """Return the key of this token, also if it expired or was revoked; from memory.

        What a timing could tell is the hash of a guess, which tells nothing of a token.
        """
        return self._by_hash.get(hash_of(token))

    def authenticate(self, token: str, remote: str) -> Caller:
        """Return a key as one who asks over HTTP. Raises UnauthenticatedError."""
        key = self.find(token.encode(errors="replace"))
        if key is None:
            raise UnauthenticatedError("There is no such key.")
        if key.revoked_at is not None:
            raise UnauthenticatedError("This key was revoked.")
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise UnauthenticatedError("This key has expired.")
        self.note_used(key)
        return Caller(
            actor=identity_of(key),
            organization_id=key.organization_id,
            permissions=frozenset(key.permissions),
            role=key.kind,
            remote=remote,
        )

    def by_id(self, key_id: int) -> ApiKey | None:
        """Return a key by its number, also if it expired or was revoked; from memory."""
        return next((key for key in self._by_hash.values() if key.id == key_id), None)

    def note_used(self, key: ApiKey) -> None:
        """Note that a client signed in with this key; `flush` stores it."""
        self._used[key.id] = self._clock()

    async def flush(self) -> None:
        """Store when keys were last used. Raises StoreUnavailableError; nothing is lost then."""
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._db.write(lambda tx: repository.note_used(tx, list(used.items())))
        except BaseException:
            self._used = used | self._used
            raise


def identity_of(key: ApiKey) -> str:
    """Return how a client with this key is called in a Grant."""
    return f"key:{key.id}/{key.name}"


def hash_of(token: bytes) -> str:
    """Return the form in which a token is stored: SHA-256, hexadecimal."""
    return sha256(token).hexdigest()


def _check_scope(caller: Caller, permissions: Sequence[str]) -> None:
    for permission in permissions:
        if permission not in PERMISSIONS[OWNER]:
            raise InvalidValueError(
                f"There is no permission {permission[:64]!r}.", field="permissions"
            )
        if permission in FOR_PEOPLE_ONLY:
            raise InvalidValueError(
                f"{permission!r} is for people: a key cannot have it.", field="permissions"
            )
        if permission not in caller.permissions:  # nobody gives what he does not have
            raise ForbiddenError(f"You do not have the permission {permission!r} yourself.")


def _check_rights(rights: Sequence[str], field: str) -> None:
    if len(rights) > MAX_RIGHTS:
        raise InvalidValueError(f"{field} must not have more than {MAX_RIGHTS} topics", field=field)
    for right in rights:
        if len(right) > MAX_RIGHT_CHARS:
            raise InvalidValueError(
                f"A topic in {field} must not have more than {MAX_RIGHT_CHARS} characters",
                field=field,
            )
        if field == "publish" and right.startswith("$"):
            raise InvalidValueError("Topics that begin with $ are the server's.", field=field)
        try:
            check(right)
        except InvalidTopicError as error:
            raise InvalidValueError(f"{right[:100]!r} in {field}: {error}", field=field) from None


def _check_is_inside(rights: Sequence[str], field: str) -> None:
    """Refuse rights that reach into other organisations, where there are others."""
    for right in rights:
        if "{organization}" not in right.split("/"):
            raise InvalidValueError(
                f"{right[:100]!r} in {field} would reach into other organisations on this server: "
                "it needs a level {organization}",
                field=field,
            )
