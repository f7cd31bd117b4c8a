"""Several apps on one port: each keeps what is its own, and a collision is named."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from fleetwire.errors import NotFoundError, SettingsError
from fleetwire.kit import App, ErrorForm, Listener, SocketClient, SocketSpace
from fleetwire.runtime.house import House
from fleetwire.runtime.sharing import check, in_order
from fleetwire.settings.loading import load
from tests.web.realtime.socket_client import entered


def app_of(name: str, *paths: str, prefixes: tuple[str, ...] = ("",), port: int = 1) -> App:
    app = App(name, listener=Listener(port, name, prefixes=prefixes))
    router = APIRouter()

    def added(path: str) -> None:
        async def answer() -> dict[str, str]:
            if path.endswith("missing"):
                raise NotFoundError(f"{name} has none")
            return {"app": name}

        router.add_api_route(path, answer, methods=["GET"])

    for path in paths:
        added(path)
    app.include(router)
    return app


def socket_of(app: App, namespace: str) -> None:
    space = SocketSpace(namespace, is_open=True)

    @space.on("who")
    async def who(client: SocketClient) -> str:
        return app.name

    app.include_sockets(space)


@pytest.fixture
async def shared(tmp_path: Path, free_port: int) -> AsyncIterator[httpx.AsyncClient]:
    # In the order of their names; the one with devices is the first of the port.
    coffee = app_of("coffee", "/mugs", "/mugs/missing", port=free_port)
    coffee.error_form = ErrorForm(lambda error: (error.status, {"brewed": error.message}))
    socket_of(coffee, "/coffee")
    tea = app_of("tea", "/leaves", "/leaves/missing", prefixes=("/api", ""), port=free_port)
    tea.publishes = ["tea/{device_id}/brewed"]
    socket_of(tea, "/tea")
    (tmp_path / "data").mkdir()
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    overrides |= {"data_dir": tmp_path / "data", "bind": "127.0.0.1"}
    house = House(load(overrides, {}, tmp_path), apps=[coffee, tea])
    try:
        await house.start()
        assert house.ports["coffee"] == house.ports["tea"] == free_port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{free_port}") as http:
            yield http
    finally:
        await house.stop()


async def test_two_apps_share_a_port_and_keep_what_is_their_own(
    shared: httpx.AsyncClient, free_port: int
) -> None:
    async def got(path: str, method: str = "GET") -> tuple[int, Any]:
        answer = await shared.request(method, path)
        return answer.status_code, answer.json()

    assert await got("/mugs") == (200, {"app": "coffee"})
    assert await got("/leaves") == await got("/api/leaves") == (200, {"app": "tea"})
    assert await got("/mugs/missing") == (404, {"brewed": "coffee has none"})
    assert (await got("/leaves/missing"))[1]["detail"] == "tea has none"
    # What nobody has is refused in the words of whoever has the root of it, else of the first.
    assert "brewed" in (await got("/mugs/none/at/all"))[1]
    assert "detail" in (await got("/nothing"))[1]
    assert (await got("/mugs", "POST"))[0] == 405
    assert "brewed" in (await got("/mugs", "POST"))[1]
    # Each has its document; the page of the second loads its scripts.
    assert "/api/leaves" in (await got("/openapi.json"))[1]["paths"]
    document = (await got("/coffee/openapi.json"))[1]
    assert "/mugs" in document["paths"]
    assert "servers" not in document
    page = (await shared.get("/coffee/docs")).text
    script = next(part for part in page.split('"') if part.endswith("bundle.js"))
    assert (await shared.get(script)).status_code == 200
    # One connection's worth of Socket.IO for both.
    for name in ("tea", "coffee"):
        async with entered(free_port, f"/{name}") as client:
            assert await client.ask("who") == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/mugs", "/mugs"),
        ("/mugs/{mug}", "/mugs/blue"),
        ("/mugs/{mug}", "/{kind}/{id}"),
        ("/{rest:path}", "/leaves"),
        ("/files/{rest:path}", "/files/a/b"),
    ],
)
def test_routes_that_collide_name_both_apps(one: str, other: str) -> None:
    with pytest.raises(SettingsError, match="'coffee' and 'tea'") as refused:
        check([app_of("coffee", one), app_of("tea", other)])
    assert one in str(refused.value)
    assert other in str(refused.value)
    assert "FLEETWIRE_APP_PORTS=tea=<port>" in str(refused.value)


def test_a_prefix_counts_in_a_collision() -> None:
    check([app_of("coffee", "/api/mugs"), app_of("tea", "/mugs")])
    with pytest.raises(SettingsError, match="/api/mugs"):
        check([app_of("coffee", "/api/mugs"), app_of("tea", "/mugs", prefixes=("/api",))])


@pytest.mark.parametrize("other", ["/mugs", "/mugs/{mug}/more", "/mug", "/{rest}"])
def test_routes_that_are_apart_do_not_collide(other: str) -> None:
    check([app_of("coffee", "/mugs/{mug}"), app_of("tea", other)])


def test_other_methods_of_a_path_do_not_collide() -> None:
    tea = app_of("tea")
    router = APIRouter()
    router.add_api_route("/mugs", lambda: None, methods=["POST"])
    tea.include(router)
    check([app_of("coffee", "/mugs"), tea])


def test_one_namespace_of_two_apps_is_a_collision() -> None:
    apps = [app_of("coffee"), app_of("tea")]
    for app in apps:
        socket_of(app, "/live")
    with pytest.raises(SettingsError, match=r"'coffee' and 'tea' .*'/live'"):
        check(apps)


def test_an_app_with_devices_comes_first() -> None:
    coffee, tea = app_of("coffee"), app_of("tea")
    tea.subscribes = ["tea/{device_id}/orders"]
    assert [app.name for app in in_order([coffee, tea])] == ["tea", "coffee"]
