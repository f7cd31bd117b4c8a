"""ASGI middleware that every listener shares: bounded bodies, headers that browsers obey."""

import asyncio

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleetwire.errors import DomainError, InvalidValueError
from fleetwire.web.problems import ErrorAnswers

BODY_TIMEOUT_S = 30.0  # for a body to come in whole
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


class BodyTooLargeError(DomainError):
    """The body is longer than the listener takes."""

    status = 413


class BodyTimeoutError(DomainError):
    """The body did not come in time."""

    status = 408


class CheckBody:
    """Hands a request on once its body is here, within its bounds, and JSON if it says so.

    JSON here is RFC 8259: without NaN and Infinity, which Python's own parser would let pass into
    a database that cannot give them back.
    """

    def __init__(
        self,
        app: ASGIApp,
        answers: ErrorAnswers,
        max_bytes: int,
        timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._answers = answers
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(headers, receive)
            if body and "json" in headers.get("content-type", "").lower():
                _check_json(body)
        except DomainError as error:
            await self._answers.of(error)(scope, receive, send)
            return
        if body is None:
            return  # the client has gone
        is_given = False

        async def replay() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        too_large = BodyTooLargeError(f"A body may have at most {self._max_bytes} bytes.")
        told = headers.get("content-length", "0")
        # No number of ten digits is small enough; int() would be asked too much by thousands.
        if not told.isascii() or not told.isdigit() or len(told.lstrip("0")) > 10:
            raise too_large
        if int(told) > self._max_bytes:
            raise too_large
        chunks = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks += message.get("body", b"")
                    if len(chunks) > self._max_bytes:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(chunks)
        except TimeoutError:
            raise BodyTimeoutError(f"The body did not come within {self._timeout_s:g} s.") from None


def _check_json(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"body: {error}", field="body") from None
    except RecursionError:
        raise InvalidValueError("body: JSON is nested too deeply", field="body") from None


class SecureHeaders:
    """Adds to every answer what keeps browsers from guessing and framing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending)
