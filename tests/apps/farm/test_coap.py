"""CoAP: the same message, row, event, answer and refusal as by every other protocol."""

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiocoap  # type: ignore[import-untyped]  # it has no types
import pytest
import pytest_asyncio
from sqlalchemy import select

from fleetwire.apps.farm.tables import data_streams
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import Store
from tests.apps.farm.served import Served, served
from tests.web.realtime.socket_client import entered

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 10.0
AT = "2026-01-31T12:00:00.000Z"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("farm")
    async with served(folder, Terms(), {"FLEETWIRE_MODE": "production"}) as farm:
        yield farm


class Device:
    """A CoAP client."""

    def __init__(self, farm: Served, context: Any) -> None:
        self._root = f"coap://127.0.0.1:{farm.house.ports['farm.coap']}"
        self.context = context

    def message(self, code: Any, path: str, payload: bytes = b"", **more: Any) -> Any:
        return aiocoap.Message(code=code, uri=f"{self._root}/{path}", payload=payload, **more)

    async def ask(self, code: Any, path: str, body: Any = None) -> tuple[str, Any]:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.ask_raw(code, path, payload)
        return answer.code.dotted, json.loads(answer.payload)

    async def ask_raw(self, code: Any, path: str, payload: bytes) -> Any:
        async with asyncio.timeout(WAIT_S):
            return await self.context.request(self.message(code, path, payload)).response


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(farm: Served) -> AsyncIterator[Device]:
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    yield Device(farm, context)
    await context.shutdown()


async def stored(farm: Served, variable: int) -> list[Any]:
    asked = select(data_streams).where(data_streams.c.telemetry_data_id == variable)
    return list(await farm.service(Store).read(lambda c: c.execute(asked).all()))


async def test_a_value_by_coap_is_the_row_and_answer_that_it_is_by_mqtt(
    farm: Served, device: Device
) -> None:
    """«POST/PUT on `/devices/{uuid}/datastream|status`, `/orgs/{org}/devices/{uuid}/…`, `/datastreams` with `deviceUuid`»"""  # noqa: E501 a quotation
    sensor = await farm.sensor("level", uuid="c-1")
    token = await farm.token_of(sensor)
    body = {"value": 3, "variableName": "level", "recievedAt": AT}
    by_mqtt = await farm.publish("devices/c-1/datastream", json.dumps(body).encode())
    good = ("2.04", {"ok": True, "result": by_mqtt.value})
    path = "devices/c-1/datastream"
    assert await device.ask(aiocoap.POST, path, {**body, "token": token}) == good
    assert await device.ask(aiocoap.PUT, f"{path}?token={token}", body) == good
    in_farm = f"orgs/{sensor['organizationId']}/{path}?token={token}"
    assert await device.ask(aiocoap.POST, in_farm, body) == good
    named = {**body, "deviceUuid": "c-1", "accessToken": token}
    assert await device.ask(aiocoap.POST, "datastreams", named) == good
    [row] = await stored(farm, sensor["level"])
    assert row.id == by_mqtt.value["id"]
    bare, _ = await device.ask(aiocoap.POST, f"{path}?token={token}", b"4.5")
    assert bare == "2.04"
    assert [row.value for row in await stored(farm, sensor["level"])] == [3, 4.5]


async def test_four_protocols_give_the_same_row_event_answer_and_rule_run(
    farm: Served, device: Device
) -> None:
    sensor = await farm.sensor("heat", uuid="c-9")
    token = await farm.token_of(sensor)
    fan = (await farm.good("POST", "/devices", {"name": "Fan", "uuid": "fan-9"}))["device"]
    await farm.good("POST", "/device-states", {"deviceId": fan["id"], "stateName": "power"})
    warm = {"sourceType": "sensor", "UUID": "c-9", "key": "heat", "operator": ">", "value": 30}
    cool = {"deviceUuid": "fan-9", "stateName": "power", "value": "on"}
    nodes = [
        {"type": "filter", "config": warm},
        {"type": "action", "config": {"type": "DEVICE_COMMAND", "command": cool}},
    ]
    chain = (await farm.good("POST", "/rule-chains", {"name": "Warm", "nodes": nodes}))["ruleChain"]
    answers = []
    async with entered(farm.port, auth={"token": farm.token}) as dashboard:
        assert (await dashboard.ask("join", f"telemetry-{sensor['heat']}"))["status"] == "success"
        for number, protocol in enumerate(("mqtt", "http", "coap", "socket.io")):
            body = {"value": 31, "recievedAt": f"2026-01-31T12:00:0{number}.000Z"}
            if protocol == "mqtt":
                payload = json.dumps(body).encode()
                answers.append((await farm.publish("devices/c-9/datastream", payload)).value)
            elif protocol == "http":
                answer = await farm.ask("POST", "/datastreams/token", {**body, "token": token})
                answers.append(answer.json()["data"])
            elif protocol == "coap":
                path = f"devices/c-9/datastream?token={token}"
                answers.append((await device.ask(aiocoap.POST, path, body))[1]["result"])
            else:
                said = {"deviceUuid": "c-9", **body}
                answers.append((await dashboard.ask("datastream", said))["data"])
            told = await dashboard.next("new-datastream")
            assert told["dataStream"] == answers[-1]
    rows = await stored(farm, sensor["heat"])
    assert [row.id for row in rows] == [each["id"] for each in answers]
    assert len({tuple(sorted(each)) for each in answers}) == 1
    path = f"/rule-chains/{chain['id']}/executions"
    async with asyncio.timeout(WAIT_S):
        while True:
            runs = (await farm.good("GET", path))["executions"]
            if sum(1 + run["repeats"] for run in runs) >= 4:
                break
            await asyncio.sleep(0.02)
    assert {run["outcome"] for run in runs} == {"completed"}
    for run in runs:
        assert [each["outcome"] for each in run["nodes"]] == ["passed", "done"]
        assert run["nodes"][0]["inputs"] == {"c-9.heat": 31}


async def test_a_wrong_value_is_refused_for_the_same_reason(farm: Served, device: Device) -> None:
    """«replies 2.04 `{ok:true,result}`, 4.00, 4.01, 5.00»"""
    sensor = await farm.sensor("level", uuid="c-2")
    token = await farm.token_of(sensor)
    by_mqtt = await farm.publish("devices/c-2/datastream", b'{"value":null}')
    path = "devices/c-2/datastream"
    refused = {"ok": False, "error": by_mqtt.reason, "field": by_mqtt.field}
    assert await device.ask(aiocoap.POST, f"{path}?token={token}", {"value": None}) == (
        "4.00",
        refused,
    )
    other = await farm.token_of(await farm.sensor("level", uuid="c-3"))
    for query in ("", "?token=", f"?token={'0' * 64}", f"?token={other}"):
        code, said = await device.ask(aiocoap.POST, path + query, {"value": 1})
        assert (code, said["ok"]) == ("4.01", False)
    code, _ = await device.ask(aiocoap.POST, f"devices/c-2/nothing?token={token}", {"value": 1})
    assert code == "4.04"
    code, said = await device.ask(aiocoap.POST, "datastreams", {"value": 1, "token": token})
    assert (code, said["field"]) == ("4.00", "deviceUuid")
    assert await stored(farm, sensor["level"]) == []


async def test_a_batch_comes_block_by_block(farm: Served, device: Device) -> None:
    sensor = await farm.sensor("level", uuid="c-4")
    token = await farm.token_of(sensor)
    many = {"dataStreams": [{"value": each} for each in range(300)]}
    path = f"devices/c-4/datastream?token={token}"
    assert len(json.dumps(many)) > 4 * 1024
    code, said = await device.ask(aiocoap.POST, path, many)
    assert (code, len(said["result"])) == ("2.04", 300)
    assert len(await stored(farm, sensor["level"])) == 300
    too_large = await device.ask_raw(aiocoap.POST, path, b"1" * (256 * 1024 + 1))
    assert too_large.code.dotted == "4.13"


async def test_an_observer_is_shown_each_new_state_until_his_token_ends(
    farm: Served, device: Device
) -> None:
    """«GET with Observe (RFC 7641) on `/devices/{uuid}/commands` and `/state`»"""
    made = (await farm.good("POST", "/devices", {"name": "Pump", "uuid": "p-1"}))["device"]
    await farm.good("POST", "/device-states", {"deviceId": made["id"], "stateName": "power"})
    token = (await farm.good("POST", "/device-tokens", {"deviceId": made["id"]}))["token"]

    async def set_power(value: str) -> None:
        body = {"deviceUuid": "p-1", "stateName": "power", "value": value}
        await farm.good("POST", "/device-state-instances", body)

    path = f"devices/p-1/state?token={token}"
    asking = device.context.request(device.message(aiocoap.GET, path, observe=0))
    async with asyncio.timeout(WAIT_S):
        first = await asking.response
        assert (first.code.dotted, json.loads(first.payload)) == ("2.05", None)
        shown = aiter(asking.observation)
        for value in ("on", "off"):
            await set_power(value)
            while json.loads((await anext(shown)).payload)["newValue"] != value:
                continue
        commands = await device.ask(aiocoap.GET, f"devices/p-1/commands?token={token}")
        assert commands[1]["parameters"] == {"stateName": "power", "value": "off"}
        [each] = [
            each
            for each in (await farm.good("GET", "/device-tokens"))["tokens"]
            if each["deviceUuid"] == "p-1"
        ]
        await farm.good("PATCH", f"/device-tokens/{each['id']}")
        await set_power("on")
        with pytest.raises(StopAsyncIteration):  # told 4.01, which ends an observation
            await anext(shown)


async def test_what_is_no_coap_at_all_does_no_harm(farm: Served, device: Device) -> None:
    sensor = await farm.sensor("level", uuid="c-5")
    token = await farm.token_of(sensor)
    chance = random.Random(5683)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", farm.house.ports["farm.coap"]))
        for _ in range(300):
            # Half of them begin as a confirmable POST with a token of four bytes.
            head = b"\x44\x02" if chance.random() < 0.5 else b""
            sender.send(head + chance.randbytes(chance.randrange(0, 60)))
            await asyncio.sleep(0)
    path = f"devices/c-5/datastream?token={token}"
    code, _ = await device.ask(aiocoap.POST, path, {"value": 1})
    assert code == "2.04"
    for method in (aiocoap.GET, aiocoap.DELETE, aiocoap.FETCH):
        assert (await device.ask_raw(method, path, b"")).code.dotted == "4.04"
