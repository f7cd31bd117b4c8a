"""MQTT itself: who is let in, who hears what, and what a revoked token ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from fleetwire.apps.farm.terms import Terms
from fleetwire.net.client import ClientError, MessageRefusedError, MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.apps.farm.served import Served, served
from tests.web.realtime.socket_client import entered

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("farm")
    async with served(folder, Terms()) as farm:
        yield farm


@asynccontextmanager
async def connected(
    farm: Served, username: str, token: str, *filters: str, version: int = c.V5
) -> AsyncIterator[MQTTClient]:
    client = MQTTClient(version=version, username=username, password=token)
    await client.connect("127.0.0.1", farm.house.ports["mqtt"])
    try:
        if filters:
            await client.subscribe(*(Subscription(each, 1, False, False, 0) for each in filters))
        yield client
    finally:
        await client.disconnect()


async def next_of(client: MQTTClient) -> Publish:
    async with asyncio.timeout(WAIT_S):
        return await anext(client.messages())


async def test_user_name_is_the_uuid_and_password_a_token_of_it(farm: Served) -> None:
    """«Refused: MQTT 3.1.1 return code 4/5.»"""
    sensor = await farm.sensor("level", uuid="m-1")
    other = await farm.token_of(await farm.sensor("level", uuid="m-2"))
    token = await farm.token_of(sensor)
    async with connected(farm, "m-1", token), connected(farm, "m-1", token):
        pass  # «several clients may share them»
    for username, password in (("m-1", "wrong"), ("m-1", other), ("nobody", token)):
        with pytest.raises(ClientError):
            async with connected(farm, username, password, version=c.V311):
                pass


async def test_a_revoked_token_closes_live_connections_at_once(farm: Served) -> None:
    """«can be revoked (live connections close at once, MQTT 5 reason 0x87/0x98)»"""
    sensor = await farm.sensor("level", uuid="m-3")
    token = await farm.token_of(sensor)
    found = (await farm.good("GET", "/device-tokens"))["tokens"]
    [id] = [each["id"] for each in found if each["deviceUuid"] == "m-3"]
    async with connected(farm, "m-3", token) as client:
        await farm.good("PATCH", f"/device-tokens/{id}")
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(ClientError, match=r"Not authorized|Administrative action"):
                await anext(client.messages())  # there are none: it waits for the end


async def test_a_refused_value_is_told_by_the_reason_code(farm: Served) -> None:
    sensor = await farm.sensor("level", uuid="m-4")
    async with connected(farm, "m-4", await farm.token_of(sensor)) as client:
        await client.publish("devices/m-4/datastream", b"1", qos=1)
        with pytest.raises(MessageRefusedError):
            await client.publish("devices/m-4/datastream", b'{"value":null}', qos=1)


async def test_a_broadcast_reaches_members_of_the_farm_only(farm: Served) -> None:
    """«to members of the organisation only»"""
    made = (await farm.good("POST", "/organizations", {"name": "South"}))["organization"]
    body = {"name": "south", "uuid": "south-1", "organizationId": made["id"]}
    south = (await farm.good("POST", "/sensors", body))["mqtt"]
    await farm.sensor(uuid="north-1")
    body = {"name": "north", "uuid": "north-2"}
    north = (await farm.good("POST", "/sensors", body))["mqtt"]
    topic = f"organizations/{made['id']}/broadcast"
    async with connected(farm, south["username"], south["password"], topic) as member:
        with pytest.raises(ClientError):
            async with connected(farm, north["username"], north["password"], topic):
                pass
        await farm.good("POST", f"/organizations/{made['id']}/broadcast", {"message": "Frost"})
        said = json.loads((await next_of(member)).payload)
        assert said == {
            "type": "broadcast",
            "organizationId": made["id"],
            "message": "Frost",
            "timestamp": said["timestamp"],
        }
        answer = await farm.ask("POST", "/organizations/9999/broadcast", {"message": "x"})
        assert answer.status_code == 404


async def test_a_command_goes_to_the_device_s_own_topic(farm: Served) -> None:
    """«`{"command":"restart","parameters":{"delay":5,"reason":"maintenance"}`»"""
    made = await farm.good("POST", "/devices", {"name": "Pump", "uuid": "p-2"})
    mqtt, device = made["mqtt"], made["device"]
    async with connected(farm, mqtt["username"], mqtt["password"], "devices/p-2/commands") as pump:
        path = f"/devices/{device['id']}/commands"
        parameters = {"delay": 5, "reason": "maintenance"}
        sent = await farm.good("POST", path, {"command": "restart", "parameters": parameters})
        said = json.loads((await next_of(pump)).payload)
        assert said == {"command": "restart", "parameters": parameters}
        assert sent["command"]["state"] in ("queued", "sent", "delivered")


async def test_presence_is_told_to_dashboards(farm: Served) -> None:
    sensor = await farm.sensor(uuid="m-5")
    token = await farm.token_of(sensor)
    async with entered(farm.port, auth={"token": farm.token}) as dashboard:
        answer = await dashboard.ask("join", "device-uuid-m-5")
        assert answer["status"] == "success"
        async with connected(farm, "m-5", token):
            told = await dashboard.next("device-status")
            assert told["status"] == "online"
        told = await dashboard.next("device-status")
        assert (told["status"], told["reason"]) == ("offline", "disconnect")


async def test_who_listens_to_states_alone_is_not_held_up_by_other_commands(farm: Served) -> None:
    made = await farm.good("POST", "/devices", {"name": "Pump", "uuid": "p-3"})
    mqtt, device = made["mqtt"], made["device"]
    await farm.good("POST", "/device-states", {"deviceId": device["id"], "stateName": "power"})
    await farm.good("POST", f"/devices/{device['id']}/commands", {"command": "restart"})
    body = {"deviceUuid": "p-3", "stateName": "power", "value": "on"}
    async with connected(farm, mqtt["username"], mqtt["password"], "devices/p-3/state") as pump:
        await farm.good("POST", "/device-state-instances", body)
        message = await next_of(pump)
        assert (message.topic_name, message.qos) == ("devices/p-3/state", 1)
