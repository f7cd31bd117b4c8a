"""What can be changed has an ETag, and of two who saw the same only one changes it."""

import asyncio
from typing import Any

import pytest

from tests.routes.conftest import Served
from tests.routes.things import OURS, bearer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize(
        ("path", "field"),
        [
            ("/api/v1/organization", "name"),
            ("/api/v1/accounts/{account}", "full_name"),
            ("/api/v1/devices/medical/{device}", "name"),
            ("/api/v1/areas/{area}", "name"),
            ("/api/v1/device-types/{type}", "description"),
            ("/api/v1/rules/medical/{chain}", "description"),
        ],
    ),
]


async def test_who_saw_an_older_state_changes_nothing(
    served: Served, path: str, field: str
) -> None:
    (path,) = await served.things.fill(path)
    http, me = served.http["platform"], bearer(OURS)
    seen = (await http.get(path, headers=me)).headers["etag"]
    first = await http.patch(path, json={field: "One"}, headers=me | {"If-Match": seen})
    second = await http.patch(path, json={field: "Two"}, headers=me | {"If-Match": seen})
    now = await http.get(path, headers=me)
    assert (first.status_code, second.status_code) == (200, 412)
    assert now.json()[field] == "One"
    assert now.headers["etag"] == first.headers["etag"] != seen


async def test_of_many_at_once_one_wins(served: Served, path: str, field: str) -> None:
    (path,) = await served.things.fill(path)
    http, me = served.http["platform"], bearer(OURS)
    headers = me | {"If-Match": (await http.get(path, headers=me)).headers["etag"]}
    answers = await asyncio.gather(
        *(http.patch(path, json={field: f"Name {number}"}, headers=headers) for number in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_without_if_match_it_is_changed(served: Served, path: str, field: str) -> None:
    (path,) = await served.things.fill(path)
    body: dict[str, Any] = {field: "Any"}
    answer = await served.http["platform"].patch(path, json=body, headers=bearer(OURS))
    assert answer.status_code == 200
