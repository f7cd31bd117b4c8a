"""The platform's listener with real accounts: from the first login to the audit of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import APIRouter, WebSocket
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.passwords import Passwords
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.service import Organizations
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate
from fleetwire.web.application import create_application
from fleetwire.web.gate import TokenGate
from fleetwire.web.rest.platform import landing_router, login_router, platform_routers
from tests.web.conftest import application, asking

SECRET = "the secret of the tests, which is long enough"
API = "/api/v1"
OPEN = ("login", "refresh", "logout", "accept-invitation", "reset-password")


class Platform:
    """The listener, and what the first start told."""

    def __init__(self, path: Path) -> None:
        self.db = Database(f"sqlite:///{path}")
        audit = SqlAudit(self.db)
        quick = Passwords(memory_kib=64, time_cost=1)
        self.accounts = Accounts(self.db, SECRET, audit, passwords=quick)
        self.gate = TokenGate(self.accounts)
        self.services: dict[type, object] = {
            Accounts: self.accounts,
            SqlAudit: audit,
            Organizations: Organizations(self.db, audit),
        }
        self.app = create_application(
            title="Fleetwire",
            description="",
            version="1",
            routers=[
                *platform_routers(),
                landing_router(lambda: [("A <b>", "http://h/?a&b"), ("MQTT", "mqtt://h:1")]),
            ],
            gate=self.gate,
            services=self.services,
        )
        self.login = {"username": "", "password": ""}


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(tmp_path / "test.db")
    migrate(platform.db)
    platform.db.open()
    first = await platform.accounts.bootstrap()
    assert first is not None
    platform.login = {"username": first[0], "password": first[1]}
    yield platform
    await platform.db.close()


@pytest.fixture
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the platform who is not signed in."""
    async with asking(platform.app) as client:
        yield client


@pytest.fixture
async def owner(platform: Platform, http: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client signed in as the first administrator."""
    token = (await http.post(f"{API}/auth/login", json=platform.login)).json()["access_token"]
    async with asking(platform.app, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


async def test_login_gives_a_token_that_opens_the_door(
    platform: Platform, http: httpx.AsyncClient
) -> None:
    answer = await http.post(f"{API}/auth/login", json=platform.login)
    tokens = answer.json()
    assert (answer.status_code, tokens["token_type"], tokens["expires_in"]) == (200, "bearer", 3600)
    header = {"Authorization": f"bearer {tokens['access_token']}"}
    me = (await http.get(f"{API}/auth/me", headers=header)).json()
    assert me["account"]["username"] == "admin"
    assert "account.manage" in me["permissions"]
    again = await http.post(f"{API}/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert again.status_code == 200
    out = {"refresh_token": again.json()["refresh_token"]}
    assert (await http.post(f"{API}/auth/logout", json=out)).status_code == 204
    assert (await http.post(f"{API}/auth/refresh", json=out)).status_code == 401


async def test_login_takes_an_e_mail_address_under_that_name(
    platform: Platform, http: httpx.AsyncClient
) -> None:
    login = {"email": "admin@fleetwire.local", "password": platform.login["password"]}
    assert (await http.post(f"{API}/auth/login", json=login)).status_code == 200


async def test_wrong_password_and_unknown_user_get_the_same_answer(
    http: httpx.AsyncClient,
) -> None:
    answers = [
        await http.post(f"{API}/auth/login", json={"username": name, "password": "wrong"})
        for name in ("admin", "nobody")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() == answers[1].json()


async def test_guessing_is_answered_429_with_retry_after(http: httpx.AsyncClient) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    for _ in range(5):
        assert (await http.post(f"{API}/auth/login", json=wrong)).status_code == 401
    answer = await http.post(f"{API}/auth/login", json=wrong)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "admin"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": 1, "password": "x"}, "username"),
        ({"username": "admin", "password": None}, "password"),
        ({"username": "admin", "password": "x" * 1025}, "password"),
    ],
)
async def test_a_login_of_the_wrong_form_names_the_field(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.post(f"{API}/auth/login", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert "x" * 100 not in answer.text  # what was sent is not sent back


async def test_every_route_but_signing_in_wants_a_token(
    platform: Platform, http: httpx.AsyncClient
) -> None:
    document = platform.app.openapi()
    is_open = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation:
                is_open.add(path)
                continue
            url = path.replace("{", "").replace("}", "").replace("account_id", "1")
            url = url.replace("/id", "/1").replace("credential_id", "1")
            answer = await http.request(method, url, json={})
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"
    # A device that is not in yet has a code or a fleet key, and no token.
    newcomers = {f"{API}/provision/{what}" for what in ("claim", "enrol", "poll")}
    assert is_open == {f"{API}/auth/{what}" for what in OPEN} | newcomers


async def test_accounts_over_http_from_making_to_closing(
    platform: Platform, owner: httpx.AsyncClient, http: httpx.AsyncClient
) -> None:
    new = {"email": "ann@example.org", "username": "ann", "role": "operator"}
    login = {"username": "ann", "password": "correct horse battery staple"}
    made = await owner.post(f"{API}/accounts", json=new | {"password": login["password"]})
    assert made.status_code == 201, made.text
    assert login["password"] not in made.text
    path = f"{API}/accounts/{made.json()['id']}"
    taken = await owner.post(f"{API}/accounts", json=new | {"username": "other"})
    assert (taken.status_code, taken.json()["field"]) == (409, "email")
    god = await owner.post(f"{API}/accounts", json=new | {"role": "god"})
    assert (god.status_code, god.json()["field"]) == (422, "role")

    token = (await http.post(f"{API}/auth/login", json=login)).json()["access_token"]
    ann = {"Authorization": f"Bearer {token}"}
    assert (await http.get(f"{API}/accounts", headers=ann)).status_code == 403
    changed = await owner.patch(path, json={"role": "administrator"})
    assert changed.json()["role"] == "administrator"
    listed = (await http.get(f"{API}/accounts?limit=1", headers=ann)).json()
    assert [each["username"] for each in listed["items"]] == ["admin"]
    assert listed["next_cursor"]
    assert (await owner.delete(path)).status_code == 204
    assert (await http.get(f"{API}/accounts", headers=ann)).status_code == 401
    assert (await owner.get(path)).json()["is_active"] is False


async def test_a_changed_password_is_the_one_that_works(
    platform: Platform, owner: httpx.AsyncClient, http: httpx.AsyncClient
) -> None:
    old, new = platform.login["password"], "correct horse battery staple"
    wrong = await owner.post(
        f"{API}/auth/change-password", json={"old_password": "wrong", "new_password": new}
    )
    assert (wrong.status_code, wrong.json()["field"]) == (422, "old_password")
    right = await owner.post(
        f"{API}/auth/change-password", json={"old_password": old, "new_password": new}
    )
    assert right.status_code == 204
    for password, status in ((old, 401), (new, 200)):
        login = {"username": "admin", "password": password}
        assert (await http.post(f"{API}/auth/login", json=login)).status_code == status


async def test_the_organisation_is_read_and_renamed(owner: httpx.AsyncClient) -> None:
    assert (await owner.get(f"{API}/organization")).json()["name"] == "Default"
    renamed = await owner.patch(f"{API}/organization", json={"name": " Ward 3 "})
    assert renamed.json()["name"] == "Ward 3"
    assert (await owner.get(f"{API}/organization")).json() == renamed.json()
    for name in ("", " ", "a\nb", "x" * 201, None):
        answer = await owner.patch(f"{API}/organization", json={"name": name})
        assert (answer.status_code, answer.json()["field"]) == (422, "name")


async def test_what_was_done_is_in_the_audit(
    platform: Platform, owner: httpx.AsyncClient, http: httpx.AsyncClient
) -> None:
    await http.post(f"{API}/auth/login", json={"username": "admin", "password": "wrong"})
    await owner.patch(f"{API}/organization", json={"name": "Ward 3"})
    records = (await owner.get(f"{API}/audit")).json()["items"]
    assert [record["action"] for record in records] == [
        "organization.renamed", "login.failed", "login", "account.created"
    ]  # fmt: skip
    assert records[1]["outcome"] == "refused"


# --- the gate ---


def connection(kind: str, headers: dict[str, str] | None = None, query: str = "") -> HTTPConnection:
    return HTTPConnection(
        {
            "type": kind,
            "headers": Headers(headers or {}).raw,
            "query_string": query.encode(),
            "client": ("192.0.2.7", 1),
        }
    )


async def test_a_token_in_the_address_is_taken_from_websockets_only(platform: Platform) -> None:
    token = (await platform.accounts.login(**_login(platform), remote="")).access_token
    caller = await platform.gate.caller(connection("websocket", query=f"token={token}"))
    assert (caller.username, caller.remote) == ("admin", "192.0.2.7")
    with pytest.raises(UnauthenticatedError):
        await platform.gate.caller(connection("http", query=f"token={token}"))


async def test_a_header_goes_before_the_address(platform: Platform) -> None:
    token = (await platform.accounts.login(**_login(platform), remote="")).access_token
    header = {"authorization": "Bearer wrong"}
    with pytest.raises(UnauthenticatedError):
        await platform.gate.caller(connection("websocket", header, f"token={token}"))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "é"])
async def test_other_headers_open_nothing(platform: Platform, header: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await platform.gate.caller(connection("http", {"authorization": header}))


def _login(platform: Platform) -> dict[str, str]:
    return {
        "username_or_email": platform.login["username"],
        "password": platform.login["password"],
    }


async def test_an_outside_token_for_nobody_here_is_forbidden_by_name(
    http: httpx.AsyncClient,
) -> None:
    claims = {"sub": "x@example.net", "email": "x@example.net", "exp": 4_000_000_000}
    header = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}
    answer = await http.get(f"{API}/auth/me", headers=header)
    assert answer.status_code == 403
    assert "x@example.net" in answer.json()["detail"]


async def test_a_token_can_be_had_on_another_listener_too(platform: Platform) -> None:
    router = APIRouter()

    @router.websocket("/ws")
    async def other(websocket: WebSocket) -> None:
        await websocket.accept()

    app = application(router, login_router(), gate=platform.gate, services=platform.services)
    async with asking(app) as http:
        answer = await http.post(f"{API}/auth/login", json=platform.login)
        assert answer.status_code == 200
        header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await http.get(f"{API}/auth/me", headers=header)).status_code == 200


async def test_logins_at_once_are_all_answered(platform: Platform, http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(http.post(f"{API}/auth/login", json=platform.login) for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {200}


# --- the first page ---


async def test_the_first_page_says_what_runs_here_and_needs_nothing_else(
    http: httpx.AsyncClient,
) -> None:
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<th>A &lt;b&gt;</th>" in page.text
    assert 'href="http://h/?a&amp;b"' in page.text
    assert "mqtt://h:1" in page.text
    assert 'href="mqtt' not in page.text
    for what in ('href="/docs"', 'href="/redoc"', 'href="/health"', "<script", "src="):
        assert (what in page.text) == what.startswith("href"), what
