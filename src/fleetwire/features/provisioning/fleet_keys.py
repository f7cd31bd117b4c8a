"""FleetKeys: secrets that many devices of one make share, to ask to be let in.

A key is good for one app of one organisation. It lets nobody in by itself: with it a device asks,
and a person says yes, unless the key was made to say yes at once. Its text is shown once, when it
is made; only its hash is kept.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from fleetwire.errors import InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.credentials import READ, WRITE
from fleetwire.features.devices.rules import check_text
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.provisioning.newcomers import Newcomer, Newcomers
from fleetwire.features.provisioning.tables import enrolments, fleet_keys
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database, Transaction

PREFIX: Final = "fwf_"  # finds one in a file it leaked to
TOKEN_BYTES: Final = 32  # 256 random bits: a fast hash is enough to store them
MAX_KEYS: Final = 1_000  # usable ones of one organisation
MAX_NAME_CHARS: Final = 64
DEVICES_MOST: Final = 10_000_000


class FleetKey(msgspec.Struct):
    """A fleet key, without its text. `max_devices` None = any number; instants as everywhere."""

    id: int
    organization_id: int
    name: str
    app: str
    type: str
    tags: list[str]
    auto_approve: bool
    max_devices: int | None
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    created_at: int
    created_by: str
    enrolled: int = 0  # devices that have their credential by it, or may fetch it

    def is_usable(self, now: int) -> bool:
        """Say whether devices may ask with it."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


_names = FleetKey.__struct_fields__[:-1]
_enrolled = (
    select(func.count())
    .where(
        enrolments.c.fleet_key == fleet_keys.c.id, enrolments.c.state.in_(("approved", "enrolled"))
    )
    .scalar_subquery()
)
_columns = (*(fleet_keys.c[name] for name in _names), _enrolled)


class FleetKeys:
    """Makes, lists and revokes fleet keys."""

    def __init__(
        self,
        db: Database,
        newcomers: Newcomers,
        audit: SqlAudit,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._newcomers = newcomers
        self._audit = audit
        self._clock = clock

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        app: str,
        type: str,
        tags: list[str],
        auto_approve: bool = False,
        max_devices: int | None = None,
        expires_at: int | None = None,
    ) -> tuple[FleetKey, str]:
        """Return a new key and its text. Raises InvalidValueError, TooManyError past the bound."""
        caller.require(WRITE)
        check_text(name, "name", MAX_NAME_CHARS)
        if max_devices is not None and not 1 <= max_devices <= DEVICES_MOST:
            raise InvalidValueError(f"max_devices must be 1 to {DEVICES_MOST}", field="max_devices")
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise InvalidValueError("expires_at must be in the future", field="expires_at")
        # A name that nobody has, so that only the rest is judged.
        nameless = secrets.token_hex(16)
        self._newcomers.check(Newcomer(caller.organization_id, app, nameless, type, tags=tags))
        text = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        row: dict[str, Any] = {
            "organization_id": caller.organization_id,
            "name": name,
            "app": app,
            "type": type,
            "tags": sorted(set(tags)),
            "auto_approve": auto_approve,
            "max_devices": max_devices,
            "expires_at": expires_at,
            "revoked_at": None,
            "last_used_at": None,
            "created_at": now,
            "created_by": caller.actor[:256],
        }

        def work(tx: Transaction) -> FleetKey:
            if _count_usable(tx.connection, caller.organization_id, now) >= MAX_KEYS:
                raise TooManyError(f"There are {MAX_KEYS} fleet keys: revoke one.")
            stored = row | {"key_hash": hash_of(text)}
            made = tx.execute(insert(fleet_keys).values(stored)).inserted_primary_key
            assert made is not None
            key = FleetKey(int(made[0]), **row)
            detail = {"name": name, "app": app, "auto_approve": auto_approve}
            self._audit.record_in(
                tx, caller, "fleet_key.created", subject_of(key.id), detail=detail
            )
            return key

        return await self._db.write(work), text

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[FleetKey]:
        """Return the organisation's keys, also those that are over, the oldest first."""
        caller.require(READ)
        check_limit(limit)
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        query = select(*_columns).where(
            fleet_keys.c.organization_id == caller.organization_id, fleet_keys.c.id > after_id
        )
        query = query.order_by(fleet_keys.c.id).limit(limit + 1)
        found = await self._db.read(lambda c: [FleetKey(*row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def revoke(self, caller: Caller, key_id: int) -> None:
        """Let nobody ask or fetch with a key any more; devices that have come in stay.

        Twice is as good as once. Raises NotFoundError.
        """
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            mine = (
                fleet_keys.c.id == key_id,
                (fleet_keys.c.organization_id == caller.organization_id),
            )
            row = tx.execute(select(fleet_keys.c.revoked_at).where(*mine)).one_or_none()
            if row is None:
                raise NotFoundError(f"There is no fleet key {key_id}.")
            if row.revoked_at is None:
                tx.execute(update(fleet_keys).where(*mine).values(revoked_at=self._clock()))
                self._audit.record_in(tx, caller, "fleet_key.revoked", subject_of(key_id))

        await self._db.write(work)


def find_by_text(connection: Connection, text: str) -> FleetKey | None:
    """Return the key of this text, also if it is over."""
    query = select(*_columns).where(fleet_keys.c.key_hash == hash_of(text))
    row = connection.execute(query).one_or_none()
    return None if row is None else FleetKey(*row)


def find_by_id(connection: Connection, id: int) -> FleetKey | None:
    """Return a key by its number, also if it is over."""
    row = connection.execute(select(*_columns).where(fleet_keys.c.id == id)).one_or_none()
    return None if row is None else FleetKey(*row)


def note_used(tx: Transaction, id: int, at: int) -> None:
    """Store when a device last asked with a key."""
    tx.execute(update(fleet_keys).where(fleet_keys.c.id == id).values(last_used_at=at))


def hash_of(text: str) -> str:
    """Return the form in which keys and poll tokens are stored: SHA-256, hexadecimal."""
    return sha256(text.encode(errors="replace")).hexdigest()


def subject_of(key_id: int) -> str:
    """Return how the audit calls a key."""
    return f"fleet_key:{key_id}"


def _count_usable(connection: Connection, organization_id: int, now: int) -> int:
    expires_at = fleet_keys.c.expires_at
    query = select(func.count()).where(
        fleet_keys.c.organization_id == organization_id,
        fleet_keys.c.revoked_at.is_(None),
        expires_at.is_(None) | (expires_at > now),
    )
    return connection.scalar(query) or 0
