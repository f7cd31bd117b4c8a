"""Claims: codes with which a device, or whoever installs it, gets its MQTT credential, once.

A code is made of its row's nonce and the house's secret. So its QR code can be drawn again while it
is open, and the table alone, or a copy of it, gives nobody a code.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.credentials import READ, WRITE, subject_of
from fleetwire.features.devices.rules import check_device_id
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.provisioning import codes
from fleetwire.features.provisioning.errors import NotLetInError, taken
from fleetwire.features.provisioning.guesses import Guesses
from fleetwire.features.provisioning.newcomers import CLAIM, Newcomer, Newcomers
from fleetwire.features.provisioning.tables import claims
from fleetwire.features.provisioning.way_in import LetIn, WayIn
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, Credential, Page
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.provisioning")

DAY_US: Final = 86_400_000_000
USUAL_LIFE_US: Final = DAY_US
LONGEST_LIFE_US: Final = 365 * DAY_US  # labels lie on shelves
OPEN_MOST: Final = 10_000  # of one organisation
USES_MOST: Final = 10_000
NONCE_BYTES: Final = 16


class Claim(msgspec.Struct):
    """A claim, without its code. Instants are in microseconds UTC."""

    id: int
    organization_id: int
    app: str
    device_id: str | None
    type: str
    name: str | None
    attributes: dict[str, Any]
    tags: list[str]
    max_uses: int
    uses: int
    expires_at: int
    revoked_at: int | None
    last_used_at: int | None
    created_at: int
    created_by: str

    def state(self, now: int) -> str:
        """Return open, used, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        if self.uses >= self.max_uses:
            return "used"
        return "expired" if self.expires_at <= now else "open"


_columns = tuple(claims.c[name] for name in Claim.__struct_fields__)


class Claims:
    """Makes, lists, shows, revokes and takes claim codes. `secret` is the house's own."""

    def __init__(
        self,
        db: Database,
        newcomers: Newcomers,
        audit: SqlAudit,
        way_in: WayIn,
        guesses: Guesses,
        secret: str,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._newcomers = newcomers
        self._audit = audit
        self._way_in = way_in
        self._guesses = guesses
        self._secret = secret.encode()
        self._clock = clock

    # --- people ---

    async def create(
        self,
        caller: Caller,
        newcomer: Newcomer,
        *,
        is_open: bool,
        expires_at: int | None = None,
        max_uses: int = 1,
    ) -> tuple[Claim, str]:
        """Return a new claim and its code.

        With `is_open` whoever claims says the device_id, and `newcomer.device_id` says nothing. A
        device of the caller's that is there already is given one more credential by it. Raises
        InvalidValueError, ConflictError if the device is somebody else's, TooManyError.
        """
        caller.require(WRITE)
        now = self._clock()
        expires_at = now + USUAL_LIFE_US if expires_at is None else expires_at
        if not now < expires_at <= now + LONGEST_LIFE_US:
            raise InvalidValueError(
                "expires_at must be in the future, by a year at most", field="expires_at"
            )
        if not 1 <= max_uses <= USES_MOST:
            raise InvalidValueError(f"uses must be 1 to {USES_MOST}", field="uses")
        if not is_open and max_uses != 1:
            raise InvalidValueError("A claim of one device can be used once", field="uses")
        self._check(newcomer, is_open=is_open)
        nonce = secrets.token_hex(NONCE_BYTES)
        code = codes.make(self._secret, nonce)
        row: dict[str, Any] = {
            "organization_id": caller.organization_id,
            "app": newcomer.app,
            "device_id": None if is_open else newcomer.device_id,
            "type": newcomer.type,
            "name": newcomer.name,
            "attributes": newcomer.attributes,
            "tags": sorted(set(newcomer.tags)),
            "max_uses": max_uses,
            "uses": 0,
            "expires_at": expires_at,
            "revoked_at": None,
            "last_used_at": None,
            "created_at": now,
            "created_by": caller.actor[:256],
        }
        stored = row | {"nonce": nonce, "code_hash": codes.hash_of(self._secret, code)}

        def work(tx: Transaction) -> Claim:
            if _count_open(tx.connection, caller.organization_id, now) >= OPEN_MOST:
                raise TooManyError(f"There are {OPEN_MOST} open claims: revoke some.")
            key = tx.execute(insert(claims).values(stored)).inserted_primary_key
            assert key is not None
            claim = Claim(int(key[0]), **row)
            detail = {"app": claim.app, "device_id": claim.device_id, "uses": max_uses}
            self._audit.record_in(tx, caller, "claim.created", _subject(claim.id), detail=detail)
            return claim

        return await self._db.write(work), code

    def _check(self, newcomer: Newcomer, *, is_open: bool) -> None:
        if is_open:
            # A name that nobody has, so that only the rest of it is judged.
            nameless = secrets.token_hex(NONCE_BYTES)
            self._newcomers.check(msgspec.structs.replace(newcomer, device_id=nameless))
            return
        device = self._newcomers.find(newcomer.app, newcomer.device_id)
        if device is None:
            self._newcomers.check(newcomer)
        elif device.organization_id != newcomer.organization_id:
            raise taken(newcomer.app, newcomer.device_id)

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Claim]:
        """Return the organisation's claims, also those that are over, the newest first."""
        caller.require(READ)
        check_limit(limit)
        query = select(*_columns).where(claims.c.organization_id == caller.organization_id)
        if cursor is not None:
            query = query.where(claims.c.id < decode_cursor(cursor, 1)[0])
        query = query.order_by(claims.c.id.desc()).limit(limit + 1)
        found = await self._db.read(lambda c: [Claim(*row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def show(self, caller: Caller, claim_id: int) -> str:
        """Return the code of an open claim once more; that somebody saw it is on record.

        Raises NotFoundError, ConflictError if it is over.
        """
        caller.require(WRITE)
        row = await self._db.read(lambda c: _find(c, caller, claim_id))
        claim = _claim(row)
        state = claim.state(self._clock())
        if state != "open":
            raise ConflictError(f"The claim {claim_id} is {state}.")
        code = codes.make(self._secret, row["nonce"])
        if codes.hash_of(self._secret, code) != row["code_hash"]:
            raise ConflictError(
                "The server's secret is another one than when the claim was made: its code is "
                "lost. Make a new claim."
            )
        await self._audit.record(caller, "claim.shown", _subject(claim_id))
        return code

    async def revoke(self, caller: Caller, claim_id: int) -> None:
        """Let nobody use a claim any more; devices that came by it stay. Twice is as once."""
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            row = _find(tx.connection, caller, claim_id)
            if row["revoked_at"] is None:
                change = update(claims).where(claims.c.id == claim_id)
                tx.execute(change.values(revoked_at=self._clock()))
                self._audit.record_in(tx, caller, "claim.revoked", _subject(claim_id))

        await self._db.write(work)

    # --- devices ---

    async def take(self, text: str, device_id: str | None, *, remote: str, reached: str) -> LetIn:
        """Use a code; return what the device connects with.

        Raises InvalidValueError for a mistyped code, NotLetInError, TooManyAttemptsError,
        ConflictError if the device_id is taken.
        """
        code = codes.clean(text)
        self._guesses.enter(CLAIM, remote)
        code_hash = codes.hash_of(self._secret, code)
        claim = await self._db.read(lambda c: self._open(c, code_hash))
        if claim is None:
            await self._guesses.wrong(CLAIM, remote)
            raise _not_good()
        self._guesses.right(CLAIM, remote)
        newcomer = _newcomer(claim, device_id)
        known = self._newcomers.find(claim.app, newcomer.device_id)
        if known is None:
            self._newcomers.check(newcomer)
        elif claim.device_id is None or known.organization_id != claim.organization_id:
            raise taken(claim.app, newcomer.device_id)
        token = await self._newcomers.new_token(newcomer.device_id)
        by = Caller(_subject(claim.id), claim.organization_id, frozenset(), remote=remote)

        def work(tx: Transaction) -> tuple[Device, Credential]:
            if not self._count_use(tx, claim.id):
                raise _not_good()  # another was quicker
            device = known or self._newcomers.add(tx, newcomer, CLAIM, by)
            credential = self._newcomers.give(tx, device, token)
            subject = subject_of(device.app, device.device_id)
            detail = {"credential": credential.id}
            self._audit.record_in(tx, by, "claim.used", subject, detail=detail)
            return device, credential

        device, credential = await self._db.write(work)
        log.info("device claimed", device=device.device_id, app=device.app, claim=claim.id)
        return self._way_in.of(device, credential, reached)

    def _open(self, connection: Connection, code_hash: str) -> Claim | None:
        query = select(*_columns).where(claims.c.code_hash == code_hash)
        row = connection.execute(query).one_or_none()
        claim = None if row is None else Claim(*row)
        return claim if claim is not None and claim.state(self._clock()) == "open" else None

    def _count_use(self, tx: Transaction, claim_id: int) -> bool:
        now = self._clock()
        used = (
            update(claims)
            .where(
                claims.c.id == claim_id,
                claims.c.uses < claims.c.max_uses,
                claims.c.revoked_at.is_(None),
                claims.c.expires_at > now,
            )
            .values(uses=claims.c.uses + 1, last_used_at=now)
        )
        return tx.execute(used).rowcount == 1


def _newcomer(claim: Claim, device_id: str | None) -> Newcomer:
    if claim.device_id is None:
        if not device_id:
            raise InvalidValueError("Say which device_id the device shall have", field="device_id")
        check_device_id(device_id)
    elif device_id is not None and device_id != claim.device_id:
        raise InvalidValueError("The claim is for a device of another id", field="device_id")
    return Newcomer(
        claim.organization_id,
        claim.app,
        claim.device_id or device_id or "",
        claim.type,
        claim.name,
        claim.attributes,
        claim.tags,
    )


def _not_good() -> NotLetInError:
    return NotLetInError("The claim code is unknown, used, expired or revoked.")


def _subject(claim_id: int) -> str:
    return f"claim:{claim_id}"


def _claim(row: RowMapping) -> Claim:
    return Claim(**{name: row[name] for name in Claim.__struct_fields__})


def _find(connection: Connection, caller: Caller, claim_id: int) -> RowMapping:
    query = select(claims).where(
        claims.c.id == claim_id, claims.c.organization_id == caller.organization_id
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no claim {claim_id}.")
    return row


def _count_open(connection: Connection, organization_id: int, now: int) -> int:
    query = select(func.count()).where(
        claims.c.organization_id == organization_id,
        claims.c.revoked_at.is_(None),
        claims.c.uses < claims.c.max_uses,
        claims.c.expires_at > now,
    )
    return connection.scalar(query) or 0
