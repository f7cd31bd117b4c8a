"""Approvals: people see which devices ask to be let in, and say yes or no."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.credentials import READ, WRITE
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.provisioning import requests as repository
from fleetwire.features.provisioning.fleet_keys import find_by_id
from fleetwire.features.provisioning.newcomers import FLEET_KEY, Newcomer, Newcomers
from fleetwire.features.provisioning.requests import (
    APPROVED,
    ENROLLED,
    LIFE_US,
    REFUSED,
    STATES,
    Request,
)
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database, Transaction

MAX_REASON_CHARS: Final = 200


class Change(msgspec.Struct):
    """What whoever approves sets otherwise than the device asked; None = as it asked."""

    type: str | None = None
    name: str | None = None
    attributes: dict[str, Any] | None = None
    tags: list[str] | None = None


class Approvals:
    """Lists requests to enrol, approves and refuses them."""

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

    async def list(
        self,
        caller: Caller,
        *,
        state: str | None = None,
        app: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Request]:
        """Return the organisation's requests, in the order in which they first came."""
        caller.require(READ)
        check_limit(limit)
        if state is not None and state not in STATES:
            raise InvalidValueError(f"state must be one of {', '.join(STATES)}", field="state")
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_requests(
                c, caller.organization_id, state=state, app=app, after_id=after_id, limit=limit + 1
            )
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def get(self, caller: Caller, request_id: int) -> Request:
        """Return a request. Raises NotFoundError."""
        caller.require(READ)
        found = await self._db.read(
            lambda c: repository.find_own(c, caller.organization_id, request_id)
        )
        if found is None:
            raise _not_found(request_id)
        return found

    async def approve(self, caller: Caller, request_id: int, change: Change) -> Request:
        """Let a device in: it gets its credential when it asks the next time. Twice is as once.

        Also one that was refused. Raises NotFoundError, ConflictError if it is in already or its
        name is taken, InvalidValueError, TooManyError past what the fleet key may let in.
        """
        caller.require(WRITE)

        def work(tx: Transaction) -> Request:
            request = self._undecided(tx, caller, request_id)
            if request.state == APPROVED:
                return request
            key = (
                None if request.fleet_key is None else find_by_id(tx.connection, request.fleet_key)
            )
            if key is None or key.revoked_at is not None:
                raise ConflictError("The fleet key that it asked with was revoked.")
            if key.max_devices is not None and key.enrolled >= key.max_devices:
                raise TooManyError(
                    f"The fleet key {key.name!r} lets {key.max_devices} devices in, and has."
                )
            for name in ("type", "name", "attributes", "tags"):
                given = getattr(change, name)
                if given is not None:
                    setattr(request, name, given)
            newcomer = newcomer_of(request)
            is_there = request.device is not None and self._newcomers.by_id(request.device)
            if not is_there:
                self._newcomers.check(newcomer)
            now = self._clock()
            request.state, request.reason = APPROVED, ""
            request.decided_at, request.decided_by = now, caller.actor[:256]
            request.expires_at = now + LIFE_US
            names = (
                "type", "name", "attributes", "tags", "state", "reason", "decided_at",
                "decided_by", "expires_at",
            )  # fmt: skip
            repository.change_request(
                tx, request.id, {name: getattr(request, name) for name in names}
            )
            self._audit.record_in(tx, caller, "enrolment.approved", _subject(request))
            return request

        return await self._db.write(work)

    async def refuse(self, caller: Caller, request_id: int, reason: str = "") -> Request:
        """Keep a device out; it is told the reason when it asks. Twice is as good as once.

        Raises NotFoundError, ConflictError if it is in already: delete the device then.
        """
        caller.require(WRITE)
        if len(reason) > MAX_REASON_CHARS or not (reason.isprintable() or not reason):
            raise InvalidValueError(
                f"reason must be printable text of at most {MAX_REASON_CHARS} characters",
                field="reason",
            )

        def work(tx: Transaction) -> Request:
            request = self._undecided(tx, caller, request_id)
            if request.state == REFUSED:
                return request
            request.state, request.reason = REFUSED, reason
            request.decided_at, request.decided_by = self._clock(), caller.actor[:256]
            names = ("state", "reason", "decided_at", "decided_by")
            repository.change_request(
                tx, request.id, {name: getattr(request, name) for name in names}
            )
            self._audit.record_in(tx, caller, "enrolment.refused", _subject(request))
            return request

        return await self._db.write(work)

    def _undecided(self, tx: Transaction, caller: Caller, request_id: int) -> Request:
        request = repository.find_own(tx.connection, caller.organization_id, request_id)
        if request is None:
            raise _not_found(request_id)
        if request.state == ENROLLED or request.way != FLEET_KEY:
            raise ConflictError("The device is in already: revoke its credential, or delete it.")
        return request


def newcomer_of(request: Request) -> Newcomer:
    """Return what a device is to be called that asked."""
    return Newcomer(
        request.organization_id,
        request.app,
        request.device_id,
        request.type,
        request.name,
        request.attributes,
        request.tags,
    )


def _subject(request: Request) -> str:
    return f"device:{request.app}/{request.device_id}"


def _not_found(request_id: int) -> NotFoundError:
    return NotFoundError(f"There is no enrolment {request_id}.")
