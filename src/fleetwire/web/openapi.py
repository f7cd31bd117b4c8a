"""What every route of a listener answers, told once in its OpenAPI document.

Routes say in `responses=` what is theirs alone. What the gate, the bounds of bodies, the check of
values and the database add is the same for all, and is told here, where it is known.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import compile_path

from fleetwire.errors import InvalidValueError
from fleetwire.kit.app import ErrorForm
from fleetwire.kit.http import CREATES

METHODS = ("get", "put", "post", "delete", "patch")
CREATED = ("201", "202")
BODY = "requestBody"
PROBLEM = "application/problem+json"
KEY_HEADER = "Idempotency-Key"

_PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in words"},
        "field": {"type": "string", "description": "Where in the request the fault is"},
        "errors": {
            "type": "array",
            "description": "All faults, where there are several",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "id": {"type": "string", "description": "The number to quote in a report"},
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "limit must be 1 to 1000",
            "field": "limit",
        }
    ],
}
_KEY_PARAMETER: dict[str, Any] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Carried out once, however often it is sent with this key within a day: the first answer "
        "is given again, with `Idempotency-Replayed: true`."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"},
}

_PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}

_REFUSALS = {
    "401": "No token, or one that is wrong, expired or revoked",
    "403": "You have not the permission that this needs",
    "404": "There is no such thing in your organisation",
    "408": "The body did not come in time",
    "409": "It contradicts what is stored",
    "413": "The body is too long",
    "422": "A value is missing or wrong; `field` names it",
    "429": "Too often; Retry-After says how many seconds to wait",
    "503": "The database does not take work just now",
}


def tell_whole(app: FastAPI, error_form: ErrorForm | None = None) -> Callable[[], dict[str, Any]]:
    """Let the app's document say everything; return what gives it (made once, when first asked).

    `error_form` is that of errors if they are no problems, but said in the app's own way.
    """
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(plain(), error_form, _answers_of_dependencies(app))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's own way to change it
    return whole


class Creating:
    """Which paths have a POST that creates: by the document it takes an Idempotency-Key."""

    def __init__(self, document: Callable[[], dict[str, Any]], prefixes: Sequence[str]) -> None:
        self._document = document
        self._prefixes = prefixes
        self._patterns: list[re.Pattern[str]] | None = None

    def __call__(self, path: str) -> bool:
        """Say whether a POST to this path takes an Idempotency-Key that is kept for it."""
        if self._patterns is None:
            self._patterns = [
                compile_path(prefix + template)[0]
                for template, method, operation in _operations(self._document())
                if method == "post" and _KEY_PARAMETER in operation.get("parameters", ())
                for prefix in self._prefixes
            ]
        # Clients of old write `/things/` where the document has `/things`.
        return any(pattern.match(path.rstrip("/")) for pattern in self._patterns)


def _answers_of_dependencies(app: FastAPI) -> dict[tuple[str, str], set[str]]:
    """Return by path and method what `kit.http.can_answer` says of the routes' dependencies."""
    found: dict[tuple[str, str], set[str]] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and context.path_format is not None:
            statuses = set(_answers(route.dependant))
            for method in context.methods or ():
                found[(context.path_format, method.lower())] = statuses
    return found


def _answers(dependant: Dependant) -> Iterator[str]:
    for status in getattr(dependant.call, "answers", ()):
        yield str(status)
    for each in dependant.dependencies:
        yield from _answers(each)


def _complete(
    document: dict[str, Any],
    error_form: ErrorForm | None,
    answers: Mapping[tuple[str, str], set[str]],
) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    wrong_value = "422"
    if error_form is None:
        schemas["Problem"] = _PROBLEM_SCHEMA
        content = {PROBLEM: {"schema": _PROBLEM_REFERENCE}}
    else:
        schemas["Error"] = error_form.schema
        # Some say 400 of whatever is wrong with a request.
        wrong_value = str(error_form.of(InvalidValueError("wrong"))[0])
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # FastAPI's form of errors, which nobody is sent
    for path, method, operation in _operations(document):
        responses = operation["responses"]
        responses.pop("422", None)
        statuses = set(answers.get((path, method), ()))
        if "security" in operation:
            statuses |= {"401", "403", "503"}
        if "{" in path:
            statuses |= {"404"}
        if BODY in operation:
            statuses |= {"408", "413", "422", "503"}
        if operation.get("parameters"):
            statuses |= {"422"}
        if method == "post" and _creates(operation):
            operation.setdefault("parameters", []).append(_KEY_PARAMETER)
            statuses |= {"409", "422"}
        for status in sorted(statuses):
            said_as = wrong_value if status == "422" else status
            responses.setdefault(said_as, {"description": _REFUSALS[status]})
        for status, response in responses.items():
            if status.isdigit() and int(status) >= 400:
                response["content"] = content


def _creates(operation: dict[str, Any]) -> bool:
    is_told = all(operation.pop(mark, False) for mark in CREATES)
    answers = any(code in operation["responses"] for code in CREATED)
    if "security" not in operation or not (is_told or answers):
        return False
    names = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    return KEY_HEADER.lower() not in names  # else the route takes care itself


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]
