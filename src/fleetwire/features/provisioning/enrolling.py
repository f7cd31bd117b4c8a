"""Enrolling: what a device does that has a fleet key: it asks, waits for a yes, and fetches.

Theory of operation. `ask` makes one request of a key and a device_id, and gives a poll token; with
it `fetch` says how far it is, and gives the credential once the request was approved. An answer may
get lost: a device that fetches again before anybody has connected with its credential gets another
one, and the first is revoked. After the first connection there is nothing more to fetch.

A device that lost its poll token asks again. Everybody who has the fleet key can do that in its
name, so it waits for a new yes then; only a key that says yes at once gives a credential at once,
and also not for a device that has connected. What is registered otherwise no key ever touches.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    TooManyError,
)
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.credentials import subject_of
from fleetwire.features.devices.rules import check_attributes, check_device_id
from fleetwire.features.provisioning import requests as repository
from fleetwire.features.provisioning.approvals import newcomer_of
from fleetwire.features.provisioning.errors import NotLetInError, taken
from fleetwire.features.provisioning.fleet_keys import (
    FleetKey,
    find_by_id,
    find_by_text,
    hash_of,
    note_used,
    subject_of as subject_of_key,
)
from fleetwire.features.provisioning.guesses import Guesses
from fleetwire.features.provisioning.newcomers import FLEET_KEY, Newcomers, Token
from fleetwire.features.provisioning.requests import (
    APPROVED,
    ENROLLED,
    LIFE_US,
    PENDING,
    REFUSED,
    Request,
)
from fleetwire.features.provisioning.way_in import LetIn, WayIn
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, Credential
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.provisioning")

POLL_AFTER_S: Final = 10
PENDING_MOST: Final = 1_000  # of one key: a leaked one must not bury those who are waited for
MAX_FACTS_BYTES: Final = 4096
TOKEN_BYTES: Final = 32
POLL_TOKEN: Final = "poll_token"


class Answer(msgspec.Struct):
    """What a device is told: how far it is, and once it is let in, how to connect.

    The poll token is there after `ask` only.
    """

    state: str  # pending | enrolled
    poll_token: str | None = None
    let_in: LetIn | None = None


class Enrolling:
    """Takes devices' requests."""

    def __init__(
        self,
        db: Database,
        newcomers: Newcomers,
        audit: SqlAudit,
        way_in: WayIn,
        guesses: Guesses,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._newcomers = newcomers
        self._audit = audit
        self._way_in = way_in
        self._guesses = guesses
        self._clock = clock

    async def ask(
        self,
        key_text: str,
        device_id: str,
        *,
        app: str | None,
        type: str | None,
        facts: dict[str, Any],
        remote: str,
        reached: str,
    ) -> Answer:
        """Ask to be let in. Raises NotLetInError, InvalidValueError, TooManyError, ConflictError;
        ForbiddenError once somebody refused it.
        """
        self._guesses.enter(FLEET_KEY, remote)
        key = await self._db.read(lambda c: find_by_text(c, key_text))
        if key is None or not key.is_usable(self._clock()):
            await self._guesses.wrong(FLEET_KEY, remote)
            raise NotLetInError("The fleet key is unknown, expired or revoked.")
        self._guesses.right(FLEET_KEY, remote)
        if app is not None and app != key.app:
            raise InvalidValueError("The fleet key is for another app", field="app")
        check_device_id(device_id)
        _check_facts(facts)
        poll_token = secrets.token_urlsafe(TOKEN_BYTES)
        asked = {
            "type": type or key.type,
            "facts": facts,
            "remote": remote[:64],
            "poll_hash": hash_of(poll_token),
        }
        request = await self._db.write(lambda tx: self._note(tx, key, device_id, asked))
        if request.state == PENDING:
            log.info("device asks to be let in", device=device_id, app=key.app, key=key.id)
            return Answer(PENDING, poll_token)
        return Answer(ENROLLED, poll_token, await self._give(request, remote, reached))

    def _note(
        self, tx: Transaction, key: FleetKey, device_id: str, asked: dict[str, Any]
    ) -> Request:
        """Store that a device asks, and return its request as it stands now."""
        now = self._clock()
        request = repository.find_of_key(tx.connection, key.id, device_id)
        there = self._newcomers.find(key.app, device_id)
        if there is not None and (request is None or request.device != there.id):
            raise taken(key.app, device_id)
        if request is not None:
            self._check_again(request, there)
        self._check_bounds(tx, key, request, now)
        approved = key.auto_approve
        changes = asked | {
            "state": APPROVED if approved else PENDING,
            "asked_at": now,
            "expires_at": now + LIFE_US,
            "decided_at": now if approved else None,
            "decided_by": subject_of_key(key.id) if approved else None,
        }
        if request is None:
            row = {
                "organization_id": key.organization_id,
                "way": FLEET_KEY,
                "fleet_key": key.id,
                "app": key.app,
                "device_id": device_id,
                "tags": key.tags,
            }
            repository.insert_request(tx, row | changes)
        else:
            repository.change_request(tx, request.id, changes | {"asked": request.asked + 1})
        note_used(tx, key.id, now)
        stored = repository.find_of_key(tx.connection, key.id, device_id)
        assert stored is not None
        if there is None:
            self._newcomers.check(newcomer_of(stored))
        return stored

    def _check_again(self, request: Request, there: Device | None) -> None:
        """Raise if a device may not ask once more."""
        if request.state == REFUSED:
            raise _refused(request)
        if there is None or request.credential is None:
            return
        if not self._newcomers.is_unused(there, request.credential):
            raise ConflictError(
                "The device is enrolled and has connected already.", field="device_id"
            )

    def _check_bounds(
        self, tx: Transaction, key: FleetKey, request: Request | None, now: int
    ) -> None:
        known = find_by_id(tx.connection, key.id)
        if known is None or not known.is_usable(now):
            raise NotLetInError("The fleet key is unknown, expired or revoked.")
        if request is not None and not request.is_over(now):
            return  # it is counted already
        if known.max_devices is not None and known.enrolled >= known.max_devices:
            raise TooManyError("The fleet key has let in as many devices as it may.")
        if repository.count_pending(tx.connection, key.id, now) >= PENDING_MOST:
            raise TooManyError(f"{PENDING_MOST} devices wait for a decision already.")

    async def fetch(self, poll_token: str, *, remote: str, reached: str) -> Answer:
        """Return how far it is, and the credential once it was approved.

        Raises NotLetInError, ForbiddenError if it was refused, ConflictError if the device has
        connected already or was removed.
        """
        self._guesses.enter(POLL_TOKEN, remote)
        poll_hash = hash_of(poll_token)
        request = await self._db.read(lambda c: repository.find_by_poll(c, poll_hash))
        if request is None:
            await self._guesses.wrong(POLL_TOKEN, remote)
            raise _unknown_token()
        self._guesses.right(POLL_TOKEN, remote)
        if request.is_over(self._clock()):
            raise _unknown_token()
        if request.state == REFUSED:
            raise _refused(request)
        if request.state == PENDING:
            return Answer(PENDING)
        return Answer(ENROLLED, let_in=await self._give(request, remote, reached))

    async def _give(self, request: Request, remote: str, reached: str) -> LetIn:
        """Give an approved device its credential, in the place of one that nobody has used."""
        token = await self._newcomers.new_token(request.device_id)
        device, credential = await self._db.write(
            lambda tx: self._give_in(tx, request.id, request.organization_id, token, remote)
        )
        log.info("device enrolled", device=device.device_id, app=device.app, way=FLEET_KEY)
        return self._way_in.of(device, credential, reached)

    def _give_in(
        self, tx: Transaction, request_id: int, organization_id: int, token: Token, remote: str
    ) -> tuple[Device, Credential]:
        request = repository.find_own(tx.connection, organization_id, request_id)
        if request is None or request.state not in (APPROVED, ENROLLED):
            raise _unknown_token()  # decided otherwise meanwhile
        key = None if request.fleet_key is None else find_by_id(tx.connection, request.fleet_key)
        if key is None or key.revoked_at is not None:
            raise NotLetInError("The fleet key was revoked.")
        by = Caller(subject_of_key(key.id), organization_id, frozenset(), remote=remote)
        device = None if request.device is None else self._newcomers.by_id(request.device)
        if device is not None and request.credential is not None:
            if not self._newcomers.is_unused(device, request.credential):
                raise ConflictError("The device has fetched its credential and has connected.")
            self._newcomers.take_back(tx, device, request.credential)
        elif request.state == ENROLLED:
            raise ConflictError("The device was removed: ask anew with the fleet key.")
        if device is None:
            device = self._newcomers.add(tx, newcomer_of(request), FLEET_KEY, by)
        credential = self._newcomers.give(tx, device, token)
        changes = {"state": ENROLLED, "device": device.id, "credential": credential.id}
        repository.change_request(tx, request.id, changes)
        subject = subject_of(device.app, device.device_id)
        detail = {"credential": credential.id}
        self._audit.record_in(tx, by, "enrolment.fetched", subject, detail=detail)
        return device, credential


def _check_facts(facts: dict[str, Any]) -> None:
    try:
        check_attributes(facts)
    except InvalidValueError as error:
        raise InvalidValueError(error.message.replace("attribute", "fact"), field="facts") from None
    if len(json.dumps(facts)) > MAX_FACTS_BYTES:
        raise InvalidValueError(
            f"facts must not be larger than {MAX_FACTS_BYTES} bytes as JSON", field="facts"
        )


def _refused(request: Request) -> ForbiddenError:
    why = f": {request.reason}" if request.reason else "."
    return ForbiddenError(f"Somebody decided that this device is not let in{why}")


def _unknown_token() -> NotLetInError:
    return NotLetInError("The poll token is unknown or expired: ask anew with the fleet key.")
