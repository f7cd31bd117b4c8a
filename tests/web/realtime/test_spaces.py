"""Socket.IO namespaces of an app's own, on its listener, in a whole house."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from fleetwire.errors import NotFoundError, SettingsError
from fleetwire.kit import App, Clock, Listener, SocketClient, Sockets, SocketSpace
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from fleetwire.web.realtime.space_calls import SpaceCall
from tests.web.realtime.socket_client import entered
from tests.web.realtime.talk import Refused, following

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = SocketSpace("/", needs="device.read")
ORDERS = SocketSpace("/orders", is_open=True)


class Watch(msgspec.Struct, forbid_unknown_fields=True):
    order: int


@ORDERS.on_connect
async def greet(client: SocketClient) -> None:
    client.emit("hello", {"anonymous": client.caller.is_anonymous, "auth": dict(client.auth)})


@ORDERS.on_disconnect
async def goodbye(client: SocketClient, sockets: Sockets) -> None:
    sockets.emit(ORDERS, "gone", client.id, organization_id=1, room="order:0")


@ORDERS.on("watch")
async def watch(client: SocketClient, said: Watch, clock: Clock) -> dict[str, Any]:
    if said.order > 9:
        raise NotFoundError("There is no such order.", field="order")
    client.enter(f"order:{said.order}", organization_id=1)
    return {"order": said.order, "has_clock": clock.now() > 0}


@ORDERS.on("count")
async def count(client: SocketClient, said: int) -> int:
    client.state["sum"] = client.state.get("sum", 0) * 10 + said
    await asyncio.sleep(0)
    return int(client.state["sum"])


@ORDERS.on("break")
async def fail() -> None:
    raise ZeroDivisionError


@ROOT.on("join")
async def join(client: SocketClient, rooms: str | list[str]) -> None:
    for room in [rooms] if isinstance(rooms, str) else rooms:
        client.enter(room)


@ROOT.on_rights
async def narrowed(client: SocketClient) -> None:
    client.emit("rights", sorted(client.caller.permissions))
    if "message.publish" not in client.caller.permissions:
        client.leave("writers")


@asynccontextmanager
async def served(folder: Path, *spaces: SocketSpace) -> AsyncIterator[House]:
    (folder / "data").mkdir()
    app = App("tea", listener=Listener(0, "tea"))
    for space in spaces:
        app.include_sockets(space)
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    overrides |= {"data_dir": folder / "data", "bind": "127.0.0.1"}
    house = House(load(overrides, {}, folder), apps=[app])
    try:
        await house.start()
        yield house
    finally:
        await house.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with served(tmp_path_factory.mktemp("spaces"), ROOT, ORDERS) as house:
        yield house


async def login_of(house: House) -> dict[str, str]:
    assert house.administrator is not None
    name, password = house.administrator
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{house.ports['platform']}") as http:
        said = {"username": name, "password": password}
        answer = await http.post("/api/v1/auth/login", json=said)
    login: dict[str, str] = answer.json()
    return login


async def token_of(house: House) -> str:
    return (await login_of(house))["access_token"]


def emit(house: House, event: str, data: Any, room: str, **how: Any) -> int:
    sockets = house.services[Sockets]
    assert isinstance(sockets, Sockets)
    space = ORDERS if room.startswith("order") else ROOT
    return sockets.emit(space, event, data, organization_id=1, room=room, **how)


async def test_whoever_knows_a_room_of_an_open_space_hears_it(house: House) -> None:
    async with entered(house.ports["tea"], "/orders") as observer:
        await observer.ask("watch", {"order": 0})
        await hear_a_room(house)
        await observer.next("gone")
        assert emit(house, "order", {}, "order:7") == 0


async def hear_a_room(house: House) -> None:
    async with entered(house.ports["tea"], "/orders", {"since": 3}) as client:
        assert await client.next("hello") == {"anonymous": True, "auth": {"since": 3}}
        assert await client.ask("watch", {"order": 7}) == {"order": 7, "has_clock": True}
        assert emit(house, "order", {"state": "PAID"}, "order:7") == 1
        assert emit(house, "order", {"state": "PAID"}, "order:8") == 0
        assert await client.next("order") == {"state": "PAID"}


@pytest.mark.parametrize(
    ("event", "said", "status", "field"),
    [
        ("watch", [{"order": 10}], 404, "order"),
        ("watch", [{"order": "7"}], 422, "order"),
        ("watch", [{"order": 7, "more": 1}], 422, "more"),
        ("watch", [], 422, None),
        ("watch", [{"order": 7}, 1], 422, None),
        ("nothing", [], 404, None),
        ("break", [], 500, None),
    ],
)
async def test_what_cannot_be_done_is_answered_and_told(
    house: House, event: str, said: list[Any], status: int, field: str | None
) -> None:
    async with entered(house.ports["tea"], "/orders") as client:
        answer = await client.ask(event, *said)
        assert (answer["status"], answer["field"]) == (status, field)
        assert await client.next("error") == {"event": event, **answer}
        assert await client.ask("count", 1) == 1


async def test_events_of_a_client_are_handled_in_order(house: House) -> None:
    async with entered(house.ports["tea"], "/orders") as client:
        answers = await asyncio.gather(*[client.ask("count", each) for each in range(1, 6)])
    assert answers == [1, 12, 123, 1234, 12345]


async def test_a_space_that_is_not_open_wants_a_credential(house: House) -> None:
    for auth, status in ((None, 401), ({"token": "x"}, 401)):
        with pytest.raises(Refused) as refused:
            async with entered(house.ports["tea"], "/", auth):
                pass
        assert refused.value.status == status
    with pytest.raises(Refused) as refused:
        async with entered(house.ports["tea"], "/orders", {"token": "wrong"}):
            pass
    assert refused.value.status == 401


async def test_the_root_may_be_an_apps_own(house: House) -> None:
    auth = {"token": await token_of(house)}
    async with entered(house.ports["tea"], "/", auth) as client:
        assert await client.ask("join", ["a", "b"]) is None
        assert emit(house, "new-datastream", [1], "b") == 1
        assert await client.next("new-datastream") == [1]
        assert (await client.next("welcome"))["organization_id"] == 1


@pytest.mark.parametrize("listener", ["platform", "tea"])
async def test_live_events_are_followed_beside_an_apps_root(house: House, listener: str) -> None:
    url = f"http://127.0.0.1:{house.ports[listener]}"
    async with following("socket.io", url, await token_of(house)) as follower:
        await follower.until("live")


async def test_nothing_is_left_of_who_goes_while_he_is_let_in(tmp_path: Path) -> None:
    space, other = SocketSpace("/left", is_open=True), SocketSpace("/other", is_open=True)
    asked, answer, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @space.on_connect
    async def come(client: SocketClient) -> None:
        asked.set()
        await answer.wait()

    @space.on_disconnect
    async def go(client: SocketClient) -> None:
        gone.set()

    @other.on("hello")
    async def hello() -> str:
        return "hello"

    async with served(tmp_path, space, other) as house:
        where = f"ws://127.0.0.1:{house.ports['tea']}/socket.io/?EIO=4&transport=websocket"
        async with connect(where, compression=None, proxy=None) as socket:
            await socket.recv()
            await socket.send("40/left,")
            await asked.wait()
        async with entered(house.ports["tea"], "/other") as client:
            assert await client.ask("hello") == "hello"  # by now the other's end is known
            answer.set()
            async with asyncio.timeout(5):
                await gone.wait()
            assert await client.ask("hello") == "hello"
            assert len(house.realtime.open) == 1


async def test_following_beside_an_open_root_wants_a_credential(tmp_path: Path) -> None:
    space = SocketSpace("/", is_open=True)

    @space.on_connect
    async def come(client: SocketClient) -> None:
        client.enter("all", organization_id=1)

    @space.on_disconnect
    async def go(client: SocketClient, sockets: Sockets) -> None:
        sockets.emit(space, "gone", None, organization_id=1, room="all")

    async with served(tmp_path, space) as house, entered(house.ports["tea"]) as client:
        assert (await client.next("welcome"))["identity"] == "anonymous"
        assert (await client.ask("subscribe", {}))["status"] == 401
        auth = {"token": await token_of(house)}
        async with entered(house.ports["tea"], "/", auth) as known:
            assert await known.ask("subscribe", {}) == {"status": 200}
            await known.next("live")
            assert await known.ask("unsubscribe", {}) == {"status": 200}
        async with entered(house.ports["tea"], "/", auth) as again:
            answers = await asyncio.gather(*[again.ask("subscribe", {"id": i}) for i in "abc"])
            assert answers == [{"status": 200}] * 3
        for _ in range(2):
            await client.next("gone")
        assert len(house.realtime.open) == 1  # nothing is left of the others


async def test_other_organisations_rooms_of_that_name_are_other_rooms(house: House) -> None:
    async with entered(house.ports["tea"], "/", {"token": await token_of(house)}) as client:
        await client.ask("join", "a")
        sockets = house.services[Sockets]
        assert isinstance(sockets, Sockets)
        assert sockets.emit(ROOT, "x", 1, organization_id=2, room="a") == 0
        assert len(sockets.clients(ROOT, 1)) == 1
        assert not sockets.clients(ROOT, 2)


async def test_withdrawn_access_ends_a_client_at_once_with_a_reason(house: House) -> None:
    login = await login_of(house)
    token = login["access_token"]
    async with entered(house.ports["tea"], "/", {"token": token}) as client:
        await client.ask("join", "a")
        before = asyncio.get_running_loop().time()
        said = {"refresh_token": login["refresh_token"]}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{house.ports['platform']}",
            headers={"Authorization": f"Bearer {token}"},
        ) as http:
            assert (await http.post("/api/v1/auth/logout", json=said)).status_code == 204
        assert (await client.next("refused"))["status"] == 401
        await client.closed()
        assert asyncio.get_running_loop().time() - before < 1
        assert emit(house, "x", 1, "a") == 0


async def test_other_rights_are_told_to_the_app(house: House) -> None:
    owner = await token_of(house)
    platform = f"http://127.0.0.1:{house.ports['platform']}"
    headers = {"Authorization": f"Bearer {owner}"}
    async with httpx.AsyncClient(base_url=platform, headers=headers) as http:
        person = {"username": "ann", "email": "ann@x.example", "password": "correct horse battery"}
        made = await http.post("/api/v1/accounts", json={**person, "role": "operator"})
        login = await http.post(
            "/api/v1/auth/login", json={"username": "ann", "password": person["password"]}
        )
        assert login.status_code == 200, login.text
        auth = {"token": login.json()["access_token"]}
        async with entered(house.ports["tea"], "/", auth) as client:
            await client.ask("join", ["writers", "readers"])
            where = f"/api/v1/accounts/{made.json()['id']}"
            tag = (await http.get(where)).headers.get("ETag", "*")
            changed = await http.patch(where, json={"role": "viewer"}, headers={"If-Match": tag})
            assert changed.status_code == 200, changed.text
            try:
                assert "message.publish" not in await client.next("rights")
            except EOFError:
                pytest.fail("a change of role ends the login")
            assert emit(house, "x", 1, "writers") == 0
            assert emit(house, "x", 1, "readers") == 1


async def test_a_client_that_takes_nothing_holds_up_nobody(house: House) -> None:
    big = "x" * 100_000
    async with (
        entered(house.ports["tea"], "/orders") as slow,
        entered(house.ports["tea"], "/orders") as quick,
    ):
        await slow.ask("watch", {"order": 1})
        await quick.ask("watch", {"order": 1})
        await quick.ask("watch", {"order": 0})
        await slow.stop_reading()
        for number in range(300):
            emit(house, "order", {"number": number, "big": big}, "order:1", must_arrive=True)
            told = await quick.next("order")
            assert told["number"] == number
        assert emit(house, "order", {}, "order:1") == 1  # the slow one was ended
        await quick.next("gone")


async def test_a_function_that_asks_for_what_nobody_has_ends_the_start(tmp_path: Path) -> None:
    space = SocketSpace("/x")

    @space.on("x")
    async def broken(client: SocketClient, said: int, more: float) -> None: ...

    with pytest.raises(SettingsError, match="'more'"):
        async with served(tmp_path, space):
            pass


async def test_a_function_must_be_async() -> None:
    def plain() -> None: ...

    with pytest.raises(SettingsError, match="async"):
        SpaceCall("tea", plain, {}, takes_said=True)
