"""Errors as HTTP answers: `application/problem+json` (RFC 9457), naming the field at fault."""

import math
import secrets
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketState

from fleetwire.errors import DomainError, InvalidValueError, NotFoundError, StoreUnavailableError
from fleetwire.kit.app import ErrorForm

log = structlog.get_logger("fleetwire.web")

RETRY_AFTER_S = 2.0
FAULTS_MOST = 20  # a long list of wrong things has as many faults as entries
STORE_UNAVAILABLE = "The database does not take work just now. Try again."
CLOSE_CODE = 4000  # plus the HTTP status: how a WebSocket that is open already is told


class Problem(JSONResponse):
    """One error."""

    media_type = "application/problem+json"


def problem(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Problem:
    """Return an error answer; `field` is where in the request the fault is."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    if field is not None:
        content["field"] = field
    return Problem(content, status, headers)


class BusyError(DomainError):
    """The database does not take work just now."""

    status = 503
    retry_after_s = RETRY_AFTER_S


class UnexpectedError(DomainError):
    """Something failed that nobody foresaw."""

    status = 500


class HttpError(DomainError):
    """What the web framework refuses by itself, such as a method that a path does not take."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # here it is the instance's own


class ErrorAnswers:
    """Turns errors into answers, as problems or in the app's own form."""

    def __init__(self, form: ErrorForm | None = None) -> None:
        self._form = form

    def of(self, error: DomainError, **more: Any) -> JSONResponse:
        """Return the answer to an error; `more` goes into a problem."""
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        retry_after_s = getattr(error, "retry_after_s", None)
        if retry_after_s is not None:
            headers["Retry-After"] = _whole(retry_after_s)
        if self._form is not None:
            status, content = self._form.of(error)
            return JSONResponse(content, status, headers)
        return problem(error.status, error.message, field=error.field, headers=headers, **more)

    def busy(self) -> JSONResponse:
        """Return the answer while the database takes no work."""
        return self.of(BusyError(STORE_UNAVAILABLE))

    def add_to(self, app: FastAPI) -> None:
        """Let the app answer every error this way."""
        app.add_exception_handler(DomainError, self._domain_error)
        app.add_exception_handler(StoreUnavailableError, self._store_unavailable)
        app.add_exception_handler(RequestValidationError, self._invalid_request)
        app.add_exception_handler(HTTPException, self._http_error)
        app.add_middleware(CatchUnexpected, answers=self)

    async def _domain_error(self, connection: Request | WebSocket, error: Exception) -> Any:
        assert isinstance(error, DomainError)
        return await _answer(connection, self.of(error), error.message)

    async def _store_unavailable(self, connection: Request | WebSocket, error: Exception) -> Any:
        return await _answer(connection, self.busy(), STORE_UNAVAILABLE)

    async def _invalid_request(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [
            {"field": _place(fault["loc"]), "detail": str(fault["msg"])}
            for fault in error.errors()[:FAULTS_MOST]
        ]
        first = faults[0]
        return self.of(
            InvalidValueError(f"{first['field']}: {first['detail']}", field=first["field"]),
            errors=faults,
        )

    async def _http_error(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return self.of(NotFoundError(f"There is nothing at {request.url.path[:200]}."))
        answer = self.of(HttpError(error.status_code, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer


class CatchUnexpected:
    """Answers 500 to what nobody foresaw, and logs it once.

    The caller gets a number to quote, the log has the same number with what happened.
    """

    def __init__(self, app: ASGIApp, answers: ErrorAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def noting_send(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            number = secrets.token_hex(6)
            log.error("a request failed", id=number, path=scope.get("path"), exc_info=error)
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1011, "reason": f"error {number}"})
            elif not began:
                detail = f"Something failed on our side. If it stays so, report the id {number}."
                answer = self._answers.of(UnexpectedError(detail), id=number)
                await answer(scope, receive, send)


async def _answer(
    connection: Request | WebSocket, answer: JSONResponse, reason: str
) -> JSONResponse | None:
    """Return the answer, also to a WebSocket's handshake; one that is open already is closed."""
    if (
        isinstance(connection, WebSocket)
        and connection.application_state is WebSocketState.CONNECTED
    ):
        # A close frame holds 125 bytes, two of them the code (RFC 6455 §5.5).
        said = reason.encode()[:123].decode(errors="ignore")
        await connection.close(CLOSE_CODE + answer.status_code, said)
        return None
    return answer


def _place(location: tuple[int | str, ...]) -> str:
    """Return `parameters.interval` for ("body", "parameters", "interval")."""
    inside = [str(part) for part in location[1:]]
    return ".".join(inside) if inside else str(location[0])


def _whole(seconds: float) -> str:
    return str(max(1, math.ceil(seconds)))
