"""Commands over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.features.commands.batches import BatchService
from fleetwire.features.commands.endpoints import router
from fleetwire.features.commands.service import CommandService
from fleetwire.features.devices.groups import Groups
from fleetwire.kit import Devices
from tests.fakes import caller
from tests.features.commands.conftest import Ledger
from tests.features.http import serving

COMMANDS = "/api/v1/devices/demo/d/commands"


@pytest.fixture
async def http(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    rooms = ledger.rooms
    groups = Groups(rooms.db, rooms.devices, rooms.audit)
    services = {
        Devices: rooms.devices,
        CommandService: ledger.commands,
        BatchService: BatchService(rooms.db, rooms.registry, ledger.commands, groups),
    }
    async with serving([router], services) as client:
        yield client


async def test_a_command_is_accepted_and_its_record_read_back(
    ledger: Ledger, http: httpx.AsyncClient
) -> None:
    ledger.rooms.downlink.listening.add(ledger.device.id)
    body = {"name": "start", "parameters": {"interval": 0}, "expires_in": "5m"}
    sent = await http.post(COMMANDS, json=body)
    assert sent.status_code == 202
    assert (sent.json()["state"], sent.json()["device_id"]) == ("queued", "d")
    await ledger.rooms.heard("command.sent")
    assert ledger.payloads == [b'{"command":"start","interval":0}']
    read = await http.get(f"/api/v1/commands/{sent.json()['id']}")
    assert [line["state"] for line in read.json()["timeline"]] == ["queued", "sent"]
    assert (await http.get(COMMANDS)).json()["items"] == [read.json()]


async def test_wait_answers_with_the_outcome(ledger: Ledger, http: httpx.AsyncClient) -> None:
    ledger.rooms.downlink.listening.add(ledger.device.id)
    ledger.rooms.downlink.on_send = lambda sent: sent.delivered()
    sent = await http.post(COMMANDS, params={"wait": "5s"}, json={"name": "start"})
    assert sent.json()["state"] == "delivered"


async def test_the_idempotency_key_is_a_header(http: httpx.AsyncClient) -> None:
    answers = [
        await http.post(COMMANDS, json={"name": "x"}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_a_command_is_cancelled_once(http: httpx.AsyncClient) -> None:
    id = (await http.post(COMMANDS, json={"name": "x"})).json()["id"]
    cancelled = await http.post(f"/api/v1/commands/{id}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    assert (await http.post(f"/api/v1/commands/{id}/cancel")).status_code == 409


async def test_bad_requests_name_the_field(http: httpx.AsyncClient) -> None:
    for body, field in [
        ({"name": "x", "expires_in": "never"}, "expires_in"),
        ({"name": "x", "parameters": {"command": "y"}}, "parameters.command"),
    ]:
        answer = await http.post(COMMANDS, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_another_organisation_gets_404(http: httpx.AsyncClient) -> None:
    id = (await http.post(COMMANDS, json={"name": "x"})).json()["id"]
    stranger = {"Organization": "2"}
    assert (await http.get(f"/api/v1/commands/{id}", headers=stranger)).status_code == 404
    assert (await http.post(COMMANDS, json={"name": "x"}, headers=stranger)).status_code == 404


async def test_an_apps_own_form_of_a_command_is_sent(ledger: Ledger) -> None:
    ledger.rooms.apps["demo"].command_payload = lambda name, parameters: (
        f"{name}:{len(parameters)}".encode()
    )
    published = asyncio.Event()
    ledger.rooms.downlink.on_send = lambda sent: published.set()
    ledger.rooms.downlink.listening.add(ledger.device.id)
    await ledger.commands.send(caller(), ledger.device, "go", {"a": 1})
    await asyncio.wait_for(published.wait(), 5)
    assert ledger.payloads == [b"go:1"]


async def test_a_read_can_wait_for_the_outcome(ledger: Ledger, http: httpx.AsyncClient) -> None:
    sent = (await http.post(COMMANDS, json={"name": "start"})).json()
    path = f"/api/v1/commands/{sent['id']}"
    reading = asyncio.ensure_future(http.get(path, params={"wait": "5s"}))
    cancelled = await http.post(f"{path}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    assert (await reading).json()["state"] == "cancelled"
    foreign = await http.get(path, params={"wait": "5s"}, headers={"Organization": "2"})
    assert foreign.status_code == 404
    assert (await http.get(path, params={"wait": "soon"})).json()["field"] == "wait"


async def test_the_list_is_filtered_by_state(http: httpx.AsyncClient) -> None:
    one, two = [(await http.post(COMMANDS, json={"name": name})).json() for name in "ab"]
    await http.post(f"/api/v1/commands/{one['id']}/cancel")
    found = await http.get(COMMANDS, params={"state": ["queued", "sent"]})
    assert [each["id"] for each in found.json()["items"]] == [two["id"]]
    refused = await http.get(COMMANDS, params={"state": "sleeping"})
    assert (refused.status_code, refused.json()["field"]) == (422, "state")


async def test_lane_supersede_and_retry_are_asked_for_in_the_body(
    ledger: Ledger, http: httpx.AsyncClient
) -> None:
    body = {"name": "go", "lane": "arm", "supersede": True, "retry": False}
    old, new = [(await http.post(COMMANDS, json=body)).json() for _ in range(2)]
    assert (await http.get(f"/api/v1/commands/{old['id']}")).json()["state"] == "superseded"
    on_board = ledger.commands._board.get(new["id"])
    assert on_board is not None
    assert (on_board.lane, on_board.may_repeat) == ("arm", False)
    del body["lane"]
    refused = await http.post(COMMANDS, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "lane")


async def test_a_batch_is_accepted_and_read_back(http: httpx.AsyncClient) -> None:
    body = {"app": "demo", "devices": ["d"], "name": "go"}
    sent = await http.post("/api/v1/command-batches", json=body)
    assert sent.status_code == 202
    path = f"/api/v1/command-batches/{sent.json()['id']}"
    assert (await http.get(path)).json() == sent.json()
    assert (sent.json()["total"], sent.json()["waiting"]) == (1, 1)
    assert (await http.get(f"{path}/commands")).json()["items"] == []
    assert (await http.get(path, headers={"Organization": "2"})).status_code == 404
    body["devices"] = ["nobody"]
    assert (await http.post("/api/v1/command-batches", json=body)).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "devices"),
        ({"app": "demo"}, "devices"),
        ({"devices": ["d"]}, "app"),
        ({"app": "demo", "devices": ["d"], "group": "g"}, "group"),
        ({"group": "g", "query": "tag:a"}, "query"),
        ({"query": "tag:"}, "query"),
        ({"query": "tag:nobody"}, "query"),
    ],
)
async def test_a_batch_says_in_one_way_whom_it_is_for(
    http: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    answer = await http.post("/api/v1/command-batches", json=body | {"name": "go"})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_a_batch_for_a_query_shows_it(http: httpx.AsyncClient) -> None:
    body = {"query": "app:demo", "name": "go"}
    sent = await http.post("/api/v1/command-batches", json=body)
    assert sent.status_code == 202
    shown = sent.json()
    assert (shown["app"], shown["group"], shown["query"]) == ("demo", None, "app:demo")
    assert shown["total"] == 1
