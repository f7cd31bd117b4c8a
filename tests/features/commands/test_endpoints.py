"""Commands over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.features.commands.endpoints import router
from fleetwire.features.commands.service import CommandService
from fleetwire.kit import Devices
from tests.fakes import caller
from tests.features.commands.conftest import Ledger
from tests.features.http import serving

COMMANDS = "/api/v1/devices/demo/d/commands"


@pytest.fixture
async def http(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    services = {Devices: ledger.rooms.devices, CommandService: ledger.commands}
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
