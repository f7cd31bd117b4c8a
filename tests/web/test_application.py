"""What every listener does with what it is sent: errors, bounds, headers, documentation."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, Response, WebSocket
from pydantic import BaseModel

from fleetwire.errors import (
    ConflictError,
    DomainError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.kit import Asks, ErrorForm
from fleetwire.web.application import MAX_BODY_BYTES
from fleetwire.web.limits import CheckBody
from fleetwire.web.problems import ErrorAnswers
from tests.web.conftest import Ask, application

PROBLEM = "application/problem+json"


class Parameters(BaseModel):
    interval: int


class Order(BaseModel):
    name: str
    parameters: Parameters
    free: dict[str, Any] = {}


@pytest.fixture
def router() -> APIRouter:
    """Routes that take an order, and fail in all ways."""
    router = APIRouter()
    errors: dict[str, Exception] = {
        "missing": NotFoundError("There is no device 'd'."),
        "conflict": ConflictError("Taken.", field="device_id"),
        "forbidden": ForbiddenError("Not yours."),
        "many": TooManyError("Too many."),
        "attempts": TooManyAttemptsError("Wait.", 12.3),
        "store": StoreUnavailableError("disk I/O error on /secret/path"),
        "bug": KeyError("secret detail"),
    }

    @router.post("/orders")
    async def order(body: Order) -> dict[str, Any]:
        return body.model_dump()

    @router.get("/pages")
    async def pages(limit: int) -> int:
        return limit

    @router.get("/fail/{how}")
    async def fail(how: str) -> None:
        raise errors[how]

    @router.get("/mine")
    async def mine(caller: Asks) -> str:
        return caller.actor

    @router.websocket("/live")
    async def live(websocket: WebSocket, caller: Asks) -> None:
        await websocket.accept()

    @router.websocket("/late")
    async def late(websocket: WebSocket) -> None:
        await websocket.accept()
        raise ForbiddenError("Not any more. " + "é" * 200)

    @router.websocket("/bug")
    async def bug(websocket: WebSocket) -> None:
        raise KeyError("secret detail")

    return router


ORDER = {"name": "a", "parameters": {"interval": 30}}


# --- errors ---


@pytest.mark.parametrize(
    ("how", "status", "title"),
    [
        ("missing", 404, "Not Found"),
        ("conflict", 409, "Conflict"),
        ("forbidden", 403, "Forbidden"),
        ("many", 429, "Too Many Requests"),
    ],
)
async def test_a_domain_error_is_a_problem(
    ask: Ask, router: APIRouter, how: str, status: int, title: str
) -> None:
    async with ask(router) as http:
        answer = await http.get(f"/fail/{how}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert (body["type"], body["title"], body["status"]) == ("about:blank", title, status)
    assert body.get("field") == ("device_id" if how == "conflict" else None)


async def test_who_must_wait_is_told_how_long_in_whole_seconds(ask: Ask, router: APIRouter) -> None:
    async with ask(router) as http:
        answer = await http.get("/fail/attempts")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "13")


async def test_a_database_that_is_away_is_503_with_retry_after_and_no_details(
    ask: Ask, router: APIRouter
) -> None:
    async with ask(router) as http:
        answer = await http.get("/fail/store")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


async def test_what_nobody_foresaw_is_logged_once_under_the_id_the_caller_gets(
    ask: Ask, router: APIRouter
) -> None:
    async with ask(router) as http:
        with structlog.testing.capture_logs() as logs:
            answer = await http.get("/fail/bug")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    (line,) = logs
    assert line["log_level"] == "error"
    assert line["id"] == answer.json()["id"]
    assert line["id"] in answer.json()["detail"]
    assert isinstance(line["exc_info"], KeyError)


async def test_an_unknown_path_and_a_wrong_method_are_problems(ask: Ask, router: APIRouter) -> None:
    async with ask(router) as http:
        nowhere = await http.get("/nowhere")
        wrong = await http.delete("/orders")
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (404, PROBLEM)
    assert "/nowhere" in nowhere.json()["detail"]
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, PROBLEM)
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("token", [None, "Bearer bad"])
async def test_who_is_not_signed_in_is_asked_for_a_bearer_token(
    ask: Ask, router: APIRouter, token: str | None
) -> None:
    async with ask(router) as http:
        answer = await http.get("/mine", headers={"authorization": token} if token else {})
        assert (await http.get("/mine", headers={"authorization": "Bearer good"})).is_success
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": 1, "parameters": {"interval": 1}}, "name"),
        ({"name": "a", "parameters": {"interval": "soon"}}, "parameters.interval"),
        ({"name": "a", "parameters": {}}, "parameters.interval"),
        ({"name": "a"}, "parameters"),
        ([1], "body"),
        (None, "body"),
    ],
)
async def test_a_value_of_the_wrong_type_is_named(
    ask: Ask, router: APIRouter, body: Any, field: str
) -> None:
    async with ask(router) as http:
        answer = await http.post("/orders", json=body)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert problem["field"] == field
    assert field in problem["detail"]
    assert problem["errors"][0]["field"] == field


async def test_a_wrong_query_parameter_is_named(ask: Ask, router: APIRouter) -> None:
    async with ask(router) as http:
        answer = await http.get("/pages", params={"limit": "many"})
    assert (answer.status_code, answer.json()["field"]) == (422, "limit")


async def test_an_app_can_say_errors_in_its_own_form(ask: Ask, router: APIRouter) -> None:
    def form(error: DomainError) -> tuple[int, dict[str, Any]]:
        return 418, {"success": False, "message": error.message, "where": error.field}

    async with ask(router, error_form=ErrorForm(form), max_body_bytes=100) as http:
        answers = [
            await http.get("/fail/conflict"),
            await http.post("/orders", json={"name": 1, "parameters": {"interval": 1}}),
            await http.post("/orders", content=b"{", headers={"content-type": "application/json"}),
            await http.post("/orders", json="x" * 200),
            await http.get("/nowhere"),
            await http.get("/mine"),
        ]
    assert {answer.status_code for answer in answers} == {418}
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    assert [answer.json()["where"] for answer in answers] == [
        "device_id", "name", "body", None, None, None
    ]  # fmt: skip
    assert answers[-1].headers["www-authenticate"] == "Bearer"


# --- bodies ---


async def test_a_body_of_the_bound_is_taken_and_one_byte_more_is_not(
    ask: Ask, router: APIRouter
) -> None:
    text = json.dumps(ORDER | {"name": ""})
    name = "x" * (MAX_BODY_BYTES - len(text))
    async with ask(router) as http:
        headers = {"content-type": "application/json"}
        whole = json.dumps(ORDER | {"name": name}).encode()
        assert len(whole) == MAX_BODY_BYTES
        assert (await http.post("/orders", content=whole, headers=headers)).is_success
        answer = await http.post("/orders", content=whole + b" ", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert str(MAX_BODY_BYTES) in answer.json()["detail"]


async def test_a_chunked_body_is_bounded_too_and_not_read_to_its_end(
    ask: Ask, router: APIRouter
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 65536

    async with ask(router) as http:
        answer = await http.post("/orders", content=endless())
    assert answer.status_code == 413
    assert sent <= MAX_BODY_BYTES // 65536 + 2


async def test_a_chunked_body_within_the_bound_arrives(ask: Ask, router: APIRouter) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps(ORDER):
            yield byte.encode()

    async with ask(router) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post("/orders", content=pieces(), headers=headers)
    assert answer.json() == ORDER | {"free": {}}


@pytest.mark.parametrize("length", ["10000000000000", "9" * 5000, "-1", "x", "1e3", "²"])
async def test_a_length_that_cannot_be_is_refused_unread(length: str) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nobody should ask for this body")

    assert await answered(CheckBody(never, ErrorAnswers(), 100), length, never) == 413


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    middleware = CheckBody(never, ErrorAnswers(), 100, timeout_s=0.01)
    assert await answered(middleware, "10", never) == 408


async def answered(middleware: CheckBody, length: str, receive: Any) -> int:
    """Return the status that the middleware answers itself."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    header = (b"content-length", length.encode("latin-1"))
    await middleware({"type": "http", "method": "POST", "headers": [header]}, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "free",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        '{"a": [NaN]}',
        "[" * 100_000,
        "[" * 2000 + "]" * 2000,
        "9" * 5000,
        '"\\ud800"',
        '"\x01"',
        "01",
        "tru",
        "1,}",
    ],
)
async def test_what_is_not_json_is_refused(ask: Ask, router: APIRouter, free: str) -> None:
    content = f'{{"name": "a", "parameters": {{"interval": 1}}, "free": {{"x": {free}}}}}'
    async with ask(router) as http:
        headers = {"content-type": "application/json; charset=utf-8"}
        answer = await http.post("/orders", content=content.encode(), headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "body"), answer.text


async def test_invalid_utf_8_is_refused(ask: Ask, router: APIRouter) -> None:
    async with ask(router) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post("/orders", content=b'{"name": "\xff"}', headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")


# --- headers ---


@pytest.mark.parametrize("path", ["/mine", "/nowhere", "/fail/bug", "/docs", "/orders"])
async def test_every_answer_has_headers_that_keep_browsers_safe(
    ask: Ask, router: APIRouter, path: str
) -> None:
    async with ask(router) as http:
        answer = await http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_an_answers_own_header_stays(ask: Ask) -> None:
    router = APIRouter()

    @router.get("/")
    async def framed() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    async with ask(router) as http:
        assert (await http.get("/")).headers.get_list("x-frame-options") == ["SAMEORIGIN"]


# --- WebSockets ---


async def websocket(router: APIRouter, path: str, *, can_answer: bool = True) -> list[Any]:
    """Open a WebSocket and return what the application sends."""
    sent: list[Any] = []
    incoming: Iterator[Any] = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "ws",
        "client": ("192.0.2.1", 1),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if can_answer else {},
    }
    await application(router)(scope, receive, send)
    return sent


async def test_a_websocket_of_a_stranger_is_answered_401(router: APIRouter) -> None:
    start, body = await websocket(router, "/live")
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"])["detail"] == "Sign in first."


async def test_an_open_websocket_is_closed_with_status_and_reason(router: APIRouter) -> None:
    accept, close = await websocket(router, "/late")
    assert accept["type"] == "websocket.accept"
    assert (close["type"], close["code"]) == ("websocket.close", 4403)
    assert close["reason"].startswith("Not any more.")
    assert len(close["reason"].encode()) <= 123


async def test_a_bug_closes_a_websocket_without_details(router: APIRouter) -> None:
    with structlog.testing.capture_logs() as logs:
        (close,) = await websocket(router, "/bug")
    assert (close["type"], close["code"]) == ("websocket.close", 1011)
    assert logs[0]["id"] in close["reason"]
    assert "secret" not in close["reason"]


# --- documentation ---


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_documentation_works_without_the_internet(
    ask: Ask, router: APIRouter, path: str
) -> None:
    async with ask(router) as http:
        page = await http.get(path)
        assert page.is_success
        assert not re.search(r"(?:https?:)?//\w", page.text)
        parts = re.findall(r"""(?:src|href)="([^"]+)\"""", page.text)
        assert any(part.endswith(".js") for part in parts)
        for part in parts:
            assert (await http.get(part)).is_success, part


async def test_swagger_knows_which_calls_want_a_token(ask: Ask, router: APIRouter) -> None:
    async with ask(router) as http:
        document = (await http.get("/openapi.json")).json()
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/mine"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in document["paths"]["/orders"]["post"]


async def test_routes_answer_under_every_prefix_and_are_documented_once(
    ask: Ask, router: APIRouter
) -> None:
    async with ask(router, prefixes=("", "/mqtt")) as http:
        for prefix in ("", "/mqtt"):
            assert (await http.post(f"{prefix}/orders", json=ORDER)).is_success
        document = (await http.get("/openapi.json")).json()
    assert "/orders" in document["paths"]
    assert "/mqtt/orders" not in document["paths"]


async def test_field_errors_keep_their_field(ask: Ask) -> None:
    router = APIRouter()

    @router.get("/")
    async def wrong() -> None:
        raise InvalidValueError("limit must be 1 to 1000", field="limit")

    async with ask(router) as http:
        answer: httpx.Response = await http.get("/")
    assert (answer.status_code, answer.json()["field"]) == (422, "limit")
