"""Errors as HTTP answers: `application/problem+json` (RFC 9457), naming the field at fault."""

import secrets
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fleetwire.errors import DomainError, StoreUnavailableError

log = structlog.get_logger("fleetwire.web")

RETRY_AFTER_S = "2"


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


def add_problem_handlers(app: FastAPI) -> None:
    """Let the app answer every error as a problem."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(StoreUnavailableError, _store_unavailable)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _domain_error(request: Request, error: Exception) -> Problem:
    assert isinstance(error, DomainError)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(retry_after_s)))
    return problem(error.status, error.message, field=error.field, headers=headers)


async def _store_unavailable(request: Request, error: Exception) -> Problem:
    return problem(
        503,
        "The database does not take work just now. Try again.",
        headers={"Retry-After": RETRY_AFTER_S},
    )


async def _invalid_request(request: Request, error: Exception) -> Problem:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"field": _place(fault["loc"]), "detail": str(fault["msg"])} for fault in error.errors()
    ]
    first = faults[0]
    return problem(422, f"{first['field']}: {first['detail']}", field=first["field"], errors=faults)


def _place(location: tuple[int | str, ...]) -> str:
    """Return `parameters.interval` for ("body", "parameters", "interval")."""
    inside = [str(part) for part in location[1:]]
    return ".".join(inside) if inside else str(location[0])


async def _http_error(request: Request, error: Exception) -> Problem:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Problem:
    # The caller gets a number to quote, we get the same number with what happened.
    number = secrets.token_hex(6)
    log.error("a request failed", id=number, path=request.url.path, exc_info=error)
    return problem(500, f"Something failed on our side. If it stays so, report the id {number}.")
