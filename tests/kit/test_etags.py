"""Who changes something says what he saw."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Response

from fleetwire.errors import InvalidValueError
from fleetwire.kit.etags import (
    PRECONDITIONS,
    PRECONDITIONS_REQUIRED,
    IfMatch,
    IfMatchRequired,
    Precondition,
    PreconditionFailedError,
    etag,
)
from tests.web.conftest import application, asking


def test_equal_parts_have_equal_tags_whatever_their_order() -> None:
    assert etag("a", {"x": 1, "y": [2]}) == etag("a", {"y": [2], "x": 1})


@pytest.mark.parametrize(
    "parts", [("a", {"x": 2}), ("b", {"x": 1}), ("a", {}), ("a", None), ("a",)]
)
def test_other_parts_have_another_tag(parts: tuple[object, ...]) -> None:
    assert etag(*parts) != etag("a", {"x": 1})


def test_a_tag_is_quoted() -> None:
    assert etag(1).startswith('"')
    assert etag(1).endswith('"')
    assert len(etag(1)) > 20


@pytest.mark.parametrize("header", [None, "*", " * ", '"t"', '"s", "t"', '"s","t"', 'W/"x", "t"'])
def test_what_was_expected_may_be_changed(header: str | None) -> None:
    Precondition(header).check('"t"')


@pytest.mark.parametrize("header", ['"s"', 'W/"t"', '"s", "u"'])
def test_what_was_not_expected_may_not_be_changed(header: str) -> None:
    with pytest.raises(PreconditionFailedError):
        Precondition(header).check('"t"')


@pytest.mark.parametrize(
    "header", ["", "t", '"t', '"a" "b"', '"a",', "*, *", '"' + "t" * 1100 + '"']
)
def test_a_header_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        Precondition(header)
    assert refused.value.field == "If-Match"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter()
    state = {"name": "old"}

    @router.get("/thing")
    async def read(response: Response) -> dict[str, str]:
        response.headers["ETag"] = etag(state["name"])
        return state

    @router.patch("/thing", responses=PRECONDITIONS)
    async def change(name: str, if_match: IfMatch) -> None:
        if_match.check(etag(state["name"]))
        state["name"] = name

    @router.put("/thing", responses=PRECONDITIONS_REQUIRED)
    async def replace(name: str, if_match: IfMatchRequired) -> None:
        await change(name, if_match)

    async with asking(application(router)) as client:
        yield client


async def test_of_two_who_saw_the_same_the_second_is_refused(http: httpx.AsyncClient) -> None:
    seen = (await http.get("/thing")).headers["etag"]
    first = await http.patch("/thing?name=one", headers={"If-Match": seen})
    second = await http.patch("/thing?name=two", headers={"If-Match": seen})
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await http.get("/thing")).json() == {"name": "one"}


async def test_where_it_is_required_its_absence_is_428(http: httpx.AsyncClient) -> None:
    assert (await http.patch("/thing?name=one")).status_code == 200
    assert (await http.put("/thing?name=two")).status_code == 428
    assert (await http.put("/thing?name=two", headers={"If-Match": "*"})).status_code == 200


async def test_the_document_names_the_header_and_the_statuses(http: httpx.AsyncClient) -> None:
    put = (await http.get("/openapi.json")).json()["paths"]["/thing"]["put"]
    assert {"412", "428", "422"} <= set(put["responses"])
    assert "if-match" in {each["name"].lower() for each in put["parameters"]}
