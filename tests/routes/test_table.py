"""For every route: 401 without credentials, 403 with too little, 404 for another organisation."""

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from fleetwire.features.accounts.permissions import PERMISSIONS
from tests.routes.conftest import Served
from tests.routes.table import (
    CHANNELS,
    DOCUMENTATION,
    LISTENERS,
    OPEN,
    OPEN_CHANNELS,
    OWN_ROOT,
    PREFIXES,
    SIGNED_IN,
    Line,
)
from tests.routes.things import OURS, THEIRS, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def lines(*left_out: str, named: bool | None = None) -> list[object]:
    return [
        pytest.param(listener, prefix, line, id=f"{listener}{prefix} {line.id}")
        for listener, table in LISTENERS.items()
        for prefix in PREFIXES[listener]
        for line in table
        if line.needs not in left_out and named in (None, line.names)
    ]


async def call(
    served: Served, listener: str, prefix: str, line: Line, headers: dict[str, str]
) -> httpx.Response:
    path, query, json = await served.things.fill(line.path, line.query, line.json)
    return await served.http[listener].request(
        line.method, prefix + path, params=query, json=json, headers=headers
    )


async def test_every_route_has_its_line_and_every_line_its_route(served: Served) -> None:
    for listener, app in served.apps.items():
        no_lines = {*DOCUMENTATION, *OPEN_CHANNELS}
        if listener in OWN_ROOT:
            no_lines.add("/socket.io/")
        channels = {channel.path for channel in CHANNELS if channel.listener == listener}
        told = {
            (line.method, prefix + _shape(line.path))
            for prefix in PREFIXES[listener]
            for line in LISTENERS[listener]
        }
        found = set()
        channels_found = set()
        for route in iter_route_contexts(app.routes):
            path = str(route.path)
            if path in channels:
                channels_found.add(path)
            elif path not in no_lines:
                assert route.methods, f"{listener} {path} is a channel: add it to CHANNELS"
                found |= {(method, _shape(path)) for method in route.methods}
        assert found == told
        assert channels_found == channels


async def test_every_permission_is_needed_somewhere() -> None:
    needed = {line.needs for table in LISTENERS.values() for line in table}
    assert needed - {OPEN, SIGNED_IN} == set(PERMISSIONS["owner"])


@pytest.mark.parametrize(("listener", "prefix", "line"), lines(OPEN))
async def test_without_credentials_it_is_401(
    served: Served, listener: str, prefix: str, line: Line
) -> None:
    answer = await call(served, listener, prefix, line, {})
    assert answer.status_code == 401
    has_own_form = any(app.name == listener and app.error_form for app in served.house.apps)
    said_as = "application/json" if has_own_form else "application/problem+json"
    assert answer.headers["content-type"] == said_as
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("listener", "prefix", "line"), lines(OPEN, SIGNED_IN))
async def test_with_everything_but_its_permission_it_is_403(
    served: Served, listener: str, prefix: str, line: Line
) -> None:
    answer = await call(served, listener, prefix, line, bearer(OURS, without=line.needs))
    assert answer.status_code == 403
    said = answer.json()
    assert line.needs in said.get("detail", said.get("error"))


@pytest.mark.parametrize(("listener", "prefix", "line"), lines(OPEN, named=True))
async def test_for_another_organisation_it_is_404(
    served: Served, listener: str, prefix: str, line: Line
) -> None:
    answer = await call(served, listener, prefix, line, bearer(THEIRS))
    assert answer.status_code == 404


@pytest.mark.parametrize(("listener", "prefix", "line"), lines(OPEN, SIGNED_IN, named=False))
async def test_another_organisation_is_shown_nothing_of_ours(
    served: Served, listener: str, prefix: str, line: Line
) -> None:
    await served.things.fill("{device} {account} {key} {command} {refused} {topic}")
    answer = await call(served, listener, prefix, line, bearer(THEIRS))
    assert "ours-" not in answer.text


@pytest.mark.parametrize(("listener", "prefix", "line"), lines())
async def test_with_its_permission_it_answers(
    served: Served, listener: str, prefix: str, line: Line
) -> None:
    answer = await call(served, listener, prefix, line, {} if line.needs == OPEN else bearer(OURS))
    assert answer.status_code == line.answer, answer.text


def _shape(path: str) -> str:
    """Return the path with all names in braces alike; medical is named where a route takes any."""
    shape = path.replace("/devices/medical/", "/devices/{app}/").replace(
        "/rules/medical/", "/rules/{app}/"
    )
    return "/".join("{}" if part.startswith("{") else part for part in shape.split("/"))
