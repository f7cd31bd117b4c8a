"""A POST that creates is carried out once for one Idempotency-Key, also after a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, Header, Response
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from sqlalchemy import func, select

from fleetwire.errors import ConflictError, StoreUnavailableError, UnauthenticatedError
from fleetwire.kit import CREATES, Asks, Caller, Gate
from fleetwire.store.metadata import metadata
from fleetwire.web.idempotency import KEPT_US, Idempotency
from fleetwire.web.tables import first_answers
from tests.fakes import FakeClock
from tests.features.rooms import FailingDatabase
from tests.web.conftest import application, asking

SECRET = "the house's own secret, 32 bytes"
WAITS_S = 0.05


class Thing(BaseModel):
    name: str


class NamedGate(Gate):
    """Takes `Bearer <organisation>.<person>` at its word."""

    async def caller(self, connection: HTTPConnection) -> Caller:
        organization, _, person = (
            connection.headers.get("authorization", "").removeprefix("Bearer ").partition(".")
        )
        if not person:
            raise UnauthenticatedError("Sign in first.")
        return Caller(f"account:{person}", int(organization), frozenset())


class Workshop:
    """Routes that create things; `made` says what was made, `go` lets a slow one go on."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.fault: Exception | None = None
        self.router = APIRouter()

        @self.router.post("/things", status_code=201)
        async def make(body: Thing, caller: Asks, response: Response) -> dict[str, str]:
            if self.fault is not None:
                raise self.fault
            self.made.append(body.name)
            response.headers["Location"] = f"/things/{body.name}"
            return {"name": body.name, "password": f"secret-{len(self.made)}"}

        @self.router.post("/slow", status_code=202)
        async def make_slowly(body: Thing, caller: Asks) -> dict[str, str]:
            self.begun.set()
            await self.go.wait()
            return await make(body, caller, Response())

        @self.router.post("/orders/", include_in_schema=False)
        @self.router.post("/orders", openapi_extra=CREATES)
        async def order(body: Thing, caller: Asks) -> str:
            self.made.append(body.name)
            return f"order {len(self.made)}"

        @self.router.post("/things/{name}/poke")
        async def poke(name: str, caller: Asks) -> str:
            self.made.append(name)
            return name

        @self.router.post("/open", status_code=201)
        async def make_for_anybody(body: Thing) -> str:
            self.made.append(body.name)
            return body.name

        @self.router.post("/ledger", status_code=202)
        async def make_itself(
            body: Thing, caller: Asks, idempotency_key: str | None = Header(None)
        ) -> str:
            self.made.append(f"{body.name} {idempotency_key}")
            return body.name


class Shop:
    """The workshop over a database, served anew by `serve`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.work = Workshop()
        self.db = FailingDatabase(f"sqlite:///{path}")

    def serve(
        self, secret: str = SECRET, **more: object
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        idempotency = Idempotency(self.db, secret, clock=self.clock, wait_s=WAITS_S)
        options = {"gate": NamedGate(), "idempotency": idempotency} | more
        app = application(self.work.router, **options)
        return asking(app, headers={"Authorization": "Bearer 1.1"})

    async def count(self) -> int:
        return await self.db.read(
            lambda c: c.scalar(select(func.count()).select_from(first_answers)) or 0
        )


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path / "shop.db")
    metadata.create_all(shop.db.engine, [first_answers])
    shop.db.open()
    yield shop
    await shop.db.close()


async def post(
    http: httpx.AsyncClient, key: str, name: str = "a", path: str = "/things", **headers: str
) -> httpx.Response:
    return await http.post(path, json={"name": name}, headers={"Idempotency-Key": key} | headers)


async def test_the_first_answer_is_given_again_and_nothing_is_made_twice(shop: Shop) -> None:
    async with shop.serve() as http:
        first, second = await post(http, "k"), await post(http, "k")
    assert shop.work.made == ["a"]
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert second.headers["location"] == "/things/a"
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


@pytest.mark.parametrize("path", ["/orders", "/orders/"])
async def test_a_post_may_create_and_answer_200(shop: Shop, path: str) -> None:
    async with shop.serve() as http:
        first, second = await post(http, "k", path=path), await post(http, "k", path=path)
        document = (await http.get("/openapi.json")).json()["paths"]["/orders"]["post"]
    assert shop.work.made == ["a"]
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json() == "order 1"
    assert [each["name"] for each in document["parameters"]] == ["Idempotency-Key"]
    assert set(document["responses"]) >= {"200", "409", "422"}
    assert "x-creates" not in document


async def test_a_restart_keeps_the_answer(shop: Shop) -> None:
    async with shop.serve() as http:
        first = await post(http, "k")
    async with shop.serve() as http:
        assert (await post(http, "k")).content == first.content
    assert shop.work.made == ["a"]


async def test_another_key_and_no_key_make_another(shop: Shop) -> None:
    async with shop.serve() as http:
        await post(http, "k")
        await post(http, "l")
        await http.post("/things", json={"name": "a"})
    assert shop.work.made == ["a", "a", "a"]


async def test_a_key_is_another_key_for_somebody_else(shop: Shop) -> None:
    async with shop.serve() as http:
        for who in ("1.1", "1.2", "2.1"):
            answer = await post(http, "k", Authorization=f"Bearer {who}")
            assert "idempotency-replayed" not in answer.headers
    assert len(shop.work.made) == 3


async def test_the_same_key_on_another_listener_is_another_key(shop: Shop) -> None:
    idempotency = Idempotency(shop.db, SECRET)
    one = idempotency.claim_of(("1", "account:1", "Fleetwire", "/things"), "k", b"")
    other = idempotency.claim_of(("1", "account:1", "Medical", "/things"), "k", b"")
    assert one.id != other.id


@pytest.mark.parametrize(("name", "query"), [("b", ""), ("a", "?x=1")])
async def test_a_key_for_another_request_is_refused(shop: Shop, name: str, query: str) -> None:
    async with shop.serve() as http:
        await post(http, "k")
        answer = await post(http, "k", name, f"/things{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == "Idempotency-Key"
    assert shop.work.made == ["a"]


async def test_who_is_not_signed_in_is_told_so_and_nothing_is_kept(shop: Shop) -> None:
    async with shop.serve() as http:
        answer = await post(http, "k", Authorization="")
    assert answer.status_code == 401
    assert await shop.count() == 0


@pytest.mark.parametrize("key", ["", "é", "k" * 129, "a\tb"])
async def test_a_key_that_is_none_is_refused(shop: Shop, key: str) -> None:
    async with shop.serve() as http:
        answer = await http.post(
            "/things", json={"name": "a"}, headers=[(b"Idempotency-Key", key.encode())]
        )
    assert answer.status_code == 422
    assert shop.work.made == []


@pytest.mark.parametrize("fault", [ConflictError("Taken."), StoreUnavailableError("away")])
async def test_a_refusal_frees_the_key(shop: Shop, fault: Exception) -> None:
    shop.work.fault = fault
    async with shop.serve() as http:
        assert (await post(http, "k")).status_code in (409, 503)
        shop.work.fault = None
        assert (await post(http, "k", "b")).status_code == 201
    assert shop.work.made == ["b"]


async def test_what_failed_for_unknown_reasons_is_not_tried_again(shop: Shop) -> None:
    shop.work.fault = KeyError("a bug after the row was stored")
    async with shop.serve() as http:
        assert (await post(http, "k")).status_code == 500
        shop.work.fault = None
        again = await post(http, "k")
    assert again.status_code == 409
    assert "cut off" in again.json()["detail"]
    assert shop.work.made == []


async def test_what_a_killed_house_was_carrying_out_is_not_done_twice(shop: Shop) -> None:
    async with shop.serve() as http:
        cut_off = asyncio.create_task(post(http, "k", path="/slow"))
        await shop.work.begun.wait()
        cut_off.cancel()
        await asyncio.gather(cut_off, return_exceptions=True)
    shop.work.go.set()
    async with shop.serve() as http:
        again = await post(http, "k", path="/slow")
    assert again.status_code == 409
    assert shop.work.made == []


async def test_a_repetition_waits_for_the_first(shop: Shop) -> None:
    async with shop.serve() as http:
        both = [asyncio.create_task(post(http, "k", path="/slow")) for _ in range(2)]
        await shop.work.begun.wait()
        shop.work.go.set()
        answers = await asyncio.gather(*both)
    assert shop.work.made == ["a"]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content


async def test_a_repetition_does_not_wait_for_ever(shop: Shop) -> None:
    async with shop.serve() as http:
        first = asyncio.create_task(post(http, "k", path="/slow"))
        await shop.work.begun.wait()
        assert (await post(http, "k", path="/slow")).status_code == 409
        shop.work.go.set()
        assert (await first).status_code == 202
        assert (await post(http, "k", path="/slow")).status_code == 202
    assert shop.work.made == ["a"]


async def test_of_many_repetitions_one_follows_a_refusal(shop: Shop) -> None:
    async with shop.serve() as http:
        shop.work.fault = ConflictError("Taken.")
        both = [asyncio.create_task(post(http, "k", path="/slow")) for _ in range(2)]
        await shop.work.begun.wait()
        shop.work.go.set()
        assert {answer.status_code for answer in await asyncio.gather(*both)} == {409}
    assert await shop.count() == 0


async def test_an_answer_is_kept_for_a_day_and_then_removed(shop: Shop) -> None:
    async with shop.serve() as http:
        await post(http, "k")
        shop.clock.at += KEPT_US - 1
        assert "idempotency-replayed" in (await post(http, "k")).headers
        shop.clock.at += 1
        await post(http, "l")
        assert await shop.count() == 1
        assert (await post(http, "k", "b")).status_code == 201
    assert shop.work.made == ["a", "a", "b"]


async def test_no_password_and_no_key_can_be_read_in_the_database(shop: Shop) -> None:
    async with shop.serve() as http:
        answer = await post(http, "my-own-key")
    assert answer.json()["password"] == "secret-1"
    await shop.db.close()
    stored = b"".join(path.read_bytes() for path in shop.path.parent.glob("shop.db*"))
    assert b"first_answers" in stored
    assert b"secret-1" not in stored
    assert b"my-own-key" not in stored


async def test_an_answer_of_another_secret_is_not_given(shop: Shop) -> None:
    async with shop.serve() as http:
        await post(http, "k")
    async with shop.serve("another secret of the same house") as http:
        answer = await post(http, "k")
    assert answer.status_code == 409
    assert "secret was changed" in answer.json()["detail"]


async def test_nothing_is_made_while_the_key_cannot_be_stored(shop: Shop) -> None:
    async with shop.serve() as http:
        shop.db.is_away = True
        assert (await post(http, "k")).status_code == 503
        shop.db.is_away = False
        assert (await post(http, "k")).status_code == 201
    assert shop.work.made == ["a"]


async def test_a_key_is_free_again_though_that_could_not_be_stored(shop: Shop) -> None:
    shop.work.fault = StoreUnavailableError("away")
    async with shop.serve() as http:
        first = asyncio.create_task(post(http, "k", path="/slow"))
        await shop.work.begun.wait()
        shop.db.is_away = True
        shop.work.go.set()
        assert (await first).status_code == 503
        shop.db.is_away, shop.work.fault = False, None
        assert (await post(http, "k", path="/slow")).status_code == 202
    assert shop.work.made == ["a"]


@pytest.mark.parametrize("path", ["/things/a/poke", "/open"])
async def test_what_does_not_promise_it_runs_each_time(shop: Shop, path: str) -> None:
    async with shop.serve() as http:
        for _ in range(2):
            assert "idempotency-replayed" not in (await post(http, "k", path=path)).headers
    assert len(shop.work.made) == 2


async def test_a_route_that_reads_the_key_itself_gets_it(shop: Shop) -> None:
    async with shop.serve() as http:
        await post(http, "k", path="/ledger")
        await post(http, "k", path="/ledger")
    assert shop.work.made == ["a k", "a k"]


async def test_it_holds_under_every_prefix(shop: Shop) -> None:
    async with shop.serve(prefixes=("", "/mqtt")) as http:
        for _ in range(2):
            await post(http, "k", path="/mqtt/things")
    assert shop.work.made == ["a"]


async def test_the_document_promises_it_where_it_holds(shop: Shop) -> None:
    async with shop.serve() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    promised = {
        path
        for path, item in paths.items()
        if any(each["name"] == "Idempotency-Key" for each in item["post"].get("parameters", ()))
    }
    assert promised == {"/things", "/slow", "/orders"}
    assert "409" in paths["/things"]["post"]["responses"]
