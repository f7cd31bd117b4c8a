"""Idempotency-Key: a POST that creates is carried out once, however often it is sent.

The order is: the claim of a key is committed, then the request is carried out, then its answer is
committed, then the answer is sent. What is created and its answer are two commits. If the house is
killed between them the key stays claimed, and repeating it is answered 409: whether the first
request created something is not known then, and that is said instead of creating it twice.

A claim ends with a refusal (4xx, 503): nothing was created, the key is free again. A stored answer
is given again for a day. Answers have passwords in them that are stored nowhere else, so they are
encrypted with a key that is made from the sender's own, of which only a hash is kept.

Does not: cover what does without a signed-in caller, or routes that read the header themselves.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi.requests import HTTPConnection
from sqlalchemy import delete, insert, select, update
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleetwire.errors import (
    ConflictError,
    DomainError,
    InvalidValueError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from fleetwire.kit import instants
from fleetwire.kit.http import Gate
from fleetwire.store.database import Database, Transaction
from fleetwire.web.problems import ErrorAnswers
from fleetwire.web.tables import first_answers

log = structlog.get_logger("fleetwire.web")

HEADER = "idempotency-key"
MAX_KEY_CHARS = 128
KEPT_US = 24 * 3600 * 1_000_000
WAIT_S = 10.0  # for the first request, before its repetition is answered 409
PRUNED = 100  # expired answers removed with each new claim: more than come
UNFREED_MOST = 1000  # claims whose end could not be stored; each is 64 characters
NONCE_BYTES = 12


@dataclass(frozen=True)
class Claim:
    """What a key stands for: `id` is stored, `secret` is not."""

    id: str
    request: str
    secret: bytes


class Idempotency:
    """The first answers, kept in the database. `secret` is the house's own."""

    def __init__(
        self,
        database: Database,
        secret: str,
        *,
        clock: Callable[[], int] = instants.now,
        wait_s: float = WAIT_S,
    ) -> None:
        self._db = database
        self._secret = secret.encode()
        self._clock = clock
        self._wait_s = wait_s
        self._running: dict[str, asyncio.Event] = {}
        self._unfreed: dict[str, None] = {}

    def claim_of(self, asked: tuple[str, ...], key: str, request: bytes) -> Claim:
        """Return the claim of a key by who asks where (`asked`), for a request of these bytes."""
        named = msgspec.json.encode((*asked, key))
        return Claim(
            hashlib.sha256(named).hexdigest(),
            hashlib.sha256(request).hexdigest(),
            hmac.digest(self._secret, named, "sha256"),
        )

    async def begin(self, claim: Claim) -> tuple[int, bytes] | None:
        """Claim a key: None = carry the request out, else (status, answer) of the first.

        Waits for the first if it is being carried out. Raises InvalidValueError if the key was used
        for another request, ConflictError if it is not known what became of the first.
        """
        while True:
            row = await self._db.write(lambda tx: self._claim(tx, claim))
            if row is None:
                return None
            request, status, answer = row
            if request != claim.request:
                raise InvalidValueError(
                    "This Idempotency-Key was used for another request: use a new one.",
                    field="Idempotency-Key",
                )
            if status is not None:
                return status, _decrypt(claim, answer)
            running = self._running.get(claim.id)
            if running is None:
                raise ConflictError(
                    "The first request with this Idempotency-Key is being carried out elsewhere, "
                    "or was cut off. Look what there is before you repeat it with a new key.",
                    field="Idempotency-Key",
                )
            try:
                await asyncio.wait_for(running.wait(), self._wait_s)
            except TimeoutError:
                raise ConflictError(
                    "The first request with this Idempotency-Key is still being carried out.",
                    field="Idempotency-Key",
                ) from None

    async def keep(self, claim: Claim, status: int, answer: bytes) -> None:
        """Store the answer, so that it can be given again."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(claim.secret).encrypt(nonce, answer, claim.id.encode())
        values = {"status": status, "answer": sealed}
        await self._db.write(
            lambda tx: tx.execute(
                update(first_answers).where(first_answers.c.id == claim.id).values(values)
            )
        )

    async def free(self, claim: Claim) -> None:
        """Give the key back: nothing was created."""
        try:
            await self._db.write(
                lambda tx: tx.execute(delete(first_answers).where(first_answers.c.id == claim.id))
            )
        except StoreUnavailableError:
            if len(self._unfreed) < UNFREED_MOST:
                self._unfreed[claim.id] = None

    def ended(self, claim: Claim) -> None:
        """Let those go on who wait for the request."""
        running = self._running.pop(claim.id, None)
        if running is not None:
            running.set()

    def _claim(self, tx: Transaction, claim: Claim) -> tuple[str, int | None, bytes] | None:
        now = self._clock()
        old = select(first_answers.c.id).where(first_answers.c.expires_at <= now).limit(PRUNED)
        expired = list(tx.execute(old).scalars())
        if claim.id in self._unfreed:
            expired.append(claim.id)
        if expired:
            tx.execute(delete(first_answers).where(first_answers.c.id.in_(expired)))
        found = tx.execute(
            select(
                first_answers.c.request,
                first_answers.c.status,
                first_answers.c.answer,
                first_answers.c.expires_at,
            ).where(first_answers.c.id == claim.id)
        ).one_or_none()
        if found is not None and found.expires_at > now:
            return found.request, found.status, found.answer
        if found is not None:
            tx.execute(delete(first_answers).where(first_answers.c.id == claim.id))
        values = {"id": claim.id, "request": claim.request, "expires_at": now + KEPT_US}
        tx.execute(insert(first_answers).values(values))
        tx.after_commit(lambda: self._begun(claim.id))
        return None

    def _begun(self, id: str) -> None:
        self._unfreed.pop(id, None)
        self._running[id] = asyncio.Event()


class AnswerOnce:
    """Gives the first answer again to a POST that creates and repeats its Idempotency-Key.

    `listener` names the application: the same path elsewhere is another. `creates` says of a path
    whether a POST to it creates.
    """

    def __init__(
        self,
        app: ASGIApp,
        idempotency: Idempotency,
        gate: Gate,
        answers: ErrorAnswers,
        listener: str,
        creates: Callable[[str], bool],
    ) -> None:
        self._app = app
        self._idempotency = idempotency
        self._gate = gate
        self._answers = answers
        self._listener = listener
        self._creates = creates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if _is_post(scope) else None
        if key is None or not self._creates(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            check_key(key)
            caller = await self._gate.caller(HTTPConnection(scope))
        except UnauthenticatedError:
            await self._app(scope, receive, send)  # which says so in its own words
            return
        except DomainError as error:
            await self._answers.of(error)(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return  # the client has gone
        asked = (str(caller.organization_id), caller.actor, self._listener, scope["path"])
        claim = self._idempotency.claim_of(asked, key, scope["query_string"] + b"\n" + body)
        try:
            first = await self._idempotency.begin(claim)
        except DomainError as error:
            await self._answers.of(error)(scope, receive, send)
            return
        except StoreUnavailableError:
            await self._answers.busy()(scope, receive, send)
            return
        if first is not None:
            await _give_again(first, send)
            return
        try:
            messages = await self._carry_out(claim, scope, body, receive)
        finally:
            self._idempotency.ended(claim)
        for message in messages:
            await send(message)

    async def _carry_out(
        self, claim: Claim, scope: Scope, body: bytes, receive: Receive
    ) -> list[Message]:
        messages: list[Message] = []
        is_given = False

        async def replay() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def gather(message: Message) -> None:
            messages.append(message)

        await self._app(scope, replay, gather)
        status: int = messages[0]["status"]
        if status < 300:
            headers = list(messages[0].get("headers", ()))
            content = b"".join(message.get("body", b"") for message in messages[1:])
            try:
                answer = msgspec.msgpack.encode((headers, content))
                await self._idempotency.keep(claim, status, answer)
            except StoreUnavailableError:
                # It is created. Repeating it will be answered 409, which is safe.
                log.warning("the answer to an Idempotency-Key was not stored", path=scope["path"])
        elif status < 500 or status == 503:
            await self._idempotency.free(claim)
        return messages


def check_key(key: str) -> None:
    """Raise InvalidValueError unless this is printable ASCII of a bounded length."""
    if not 1 <= len(key) <= MAX_KEY_CHARS or not key.isascii() or not key.isprintable():
        raise InvalidValueError(
            f"Idempotency-Key must be printable ASCII of 1 to {MAX_KEY_CHARS} characters",
            field="Idempotency-Key",
        )


async def _give_again(first: tuple[int, bytes], send: Send) -> None:
    status, answer = first
    headers, content = msgspec.msgpack.decode(answer, type=tuple[list[tuple[bytes, bytes]], bytes])
    headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _decrypt(claim: Claim, sealed: bytes) -> bytes:
    try:
        return AESGCM(claim.secret).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], claim.id.encode()
        )
    except InvalidTag:
        raise ConflictError(
            "The answer to this Idempotency-Key cannot be read any more: "
            "the house's secret was changed.",
            field="Idempotency-Key",
        ) from None


def _is_post(scope: Scope) -> bool:
    return (scope["type"], scope.get("method")) == ("http", "POST")


async def _read(receive: Receive) -> bytes | None:
    """Return the body, which is bounded by whoever stands before this; None = the client went."""
    chunks = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(chunks)
