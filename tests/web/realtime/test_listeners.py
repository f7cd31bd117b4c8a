"""The channels on the listeners of apps: each shows its own app, and takes no route's place."""

import json
from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles

from fleetwire.errors import NotFoundError, SettingsError
from fleetwire.web.realtime.channels import PATHS, Channels
from fleetwire.web.realtime.interest import wish_of
from tests.house import House
from tests.web.realtime.conftest import Client, Desk
from tests.web.realtime.talk import CHANNELS, Refused, following


@pytest.fixture
async def channels(desk: Desk) -> AsyncIterator[Channels]:
    channels = Channels(desk.hub, desk.gate, (), "farm")
    yield channels
    await channels.close()


@pytest.mark.parametrize("channel", CHANNELS)
async def test_an_apps_listener_serves_every_channel(shared_house: House, channel: str) -> None:
    device = f"own-{channel.replace('.', '-')}"
    shared_house.register_device(device)
    token = shared_house.login()
    wish = {"devices": [f"medical/{device}"]}
    async with following(channel, shared_house.medical_url, token, **wish) as follower:
        (shown,) = (await follower.until("snapshot"))["devices"]
        assert shown["device_id"] == device
        await follower.until("live")
    with pytest.raises(Refused) as refused:
        async with following(channel, shared_house.medical_url, token, apps=["no"]) as follower:
            await follower.until("live")
    assert refused.value.status == 404


async def test_on_an_apps_listener_no_other_app_is_there(desk: Desk) -> None:
    ours, farm = desk.device(1), desk.device(2, app="farm")
    client = Client()
    connection = await desk.connect(client, only_app="medical")
    for wish in ({"apps": ["farm"]}, {"devices": ["farm/d-2"]}, {"devices": ["d-2"]}):
        with pytest.raises(NotFoundError):
            await connection.subscribe("one", wish_of(wish))
    await connection.subscribe("one", wish_of({"since": 0}))
    await client.until("live")
    await desk.say(farm)
    last = await desk.say(ours)
    await client.until_cursor(last)
    again = Client()
    await (await desk.connect(again, only_app="medical")).subscribe("one", wish_of({"since": 0}))
    await again.until_cursor(last)
    assert client.cursors == again.cursors == [last]


async def test_a_snapshot_on_an_apps_listener_is_of_its_devices(desk: Desk) -> None:
    desk.device(2), desk.device(4, app="farm")
    client = Client()
    connection = await desk.connect(client, only_app="farm")
    await connection.subscribe("one", wish_of({"groups": ["even"]}))
    await client.until("live")
    (shown,) = client.named("snapshot")
    devices = json.loads(f"{{{shown.members}}}")["devices"]
    assert [device["device_id"] for device in devices] == ["d-4"]


@pytest.mark.parametrize("path", [*PATHS, "/api/v1/realtime/{kind}", "/{rest:path}"])
def test_a_route_of_an_app_that_would_take_a_channels_place_is_refused(
    channels: Channels, path: str
) -> None:
    router = APIRouter()
    router.add_api_route(path, lambda: PlainTextResponse(""), methods=["GET"])
    app = FastAPI()
    app.include_router(router)
    with pytest.raises(SettingsError) as refused:
        channels.add_to(app)
    assert repr(path) in str(refused.value)
    assert "'farm'" in str(refused.value)
    assert any(repr(channel) in str(refused.value) for channel in PATHS)


def test_a_mount_that_would_take_a_channels_place_is_refused(
    channels: Channels, tmp_path_factory: pytest.TempPathFactory
) -> None:
    app = FastAPI()
    app.mount("/socket.io", StaticFiles(directory=tmp_path_factory.mktemp("files")))
    with pytest.raises(SettingsError, match=r"/socket\.io/"):
        channels.add_to(app)


def test_other_routes_are_left_alone(channels: Channels) -> None:
    app = FastAPI()
    app.add_api_route("/api/v1/realtime/ws/other", lambda: None)
    app.add_api_route("/socket.iot/", lambda: None)
    channels.add_to(app)
    assert "/api/v1/realtime/events" in app.openapi()["paths"]
