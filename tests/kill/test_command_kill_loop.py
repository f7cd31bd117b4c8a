"""A command never lies: also when the server is killed while five hundred are under way.

Devices of every character take commands while the server is killed and started again on the same
data. Whoever sends a command repeats his request, with the same key, until it is answered. In the
end every command stands in a state that is true of what its device did, and what carries one key
has taken effect once at most.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.features.commands.states import EXPIRED, QUEUED, SOURCES, SUCCEEDED
from fleetwire.protocol import constants as c
from tests.house import House, Login
from tests.kill.command_app import installed
from tests.kill.command_devices import CHARACTERS, DEAF, CommandedDevice

DEVICES = 25
COMMANDS = 500
KILLS = 8
SEED = 4
LONGEST_LIFE_S = 1.5
EXPIRES_IN = "20s"
SETTLED_TIMEOUT_S = 60.0
SENDERS = 20
PAUSE_S = 0.25  # between a sender's commands: they are spread over the kills


@pytest.fixture
def killed_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, environment=installed(tmp_path / "app"))
    try:
        house.start()
        yield house
    finally:
        house.close()


class Sender:
    """Sends commands over HTTP, and repeats what was not answered."""

    def __init__(self, house: House, devices: list[CommandedDevice]) -> None:
        self._url = house.url
        self._headers = {"Authorization": f"Bearer {house.login()}"}
        self._devices = devices
        self.ids: dict[int, str] = {}
        self.repeated = 0

    async def send(self, numbers: list[int]) -> None:
        async with httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=10
        ) as client:
            for n in numbers:
                await self._send_one(client, n)
                await asyncio.sleep(PAUSE_S)

    async def _send_one(self, client: httpx.AsyncClient, n: int) -> None:
        device = self._devices[n % DEVICES]
        # Only a device that remembers may be sent a command twice.
        body = {"name": "act", "parameters": {"n": n}, "expires_in": EXPIRES_IN}
        if device.remembers:
            body["retry"] = True
        path = f"/api/v1/devices/killed/{device.device_id}/commands"
        while True:
            try:
                answer = await client.post(path, json=body, headers={"Idempotency-Key": f"n{n}"})
            except httpx.HTTPError:
                self.repeated += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 503:
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 202, answer.text
            self.ids[n] = answer.json()["id"]
            return


def make_devices(house: House) -> list[CommandedDevice]:
    http = house.http(house.url)
    devices = []
    for number, character in zip(range(DEVICES), itertools.cycle(CHARACTERS)):
        device_id = f"{character}-{number}"
        body = {"app": "killed", "device_id": device_id, "type": "thing"}
        answer = http.post("/api/v1/devices", json=body)
        assert answer.status_code == 201, answer.text
        given = answer.json()["credential"]
        login = Login(given["username"], given["password"])
        version = c.V5 if number % 2 else c.V311
        remembers = number // len(CHARACTERS) % 2 == 0
        devices.append(
            CommandedDevice(device_id, login, character, version=version, remembers=remembers)
        )
    return devices


async def settled(house: House) -> list[tuple[Any, ...]]:
    """Wait until nothing more becomes of any command; return (n, id, state, reason)."""
    rows: list[tuple[Any, ...]] = []
    async with asyncio.timeout(SETTLED_TIMEOUT_S):
        while True:
            rows = house.select(
                "SELECT json_extract(parameters, '$.n'), id, state, reason FROM commands"
            )
            if all(row[2] not in SOURCES[EXPIRED] for row in rows):
                return rows
            await asyncio.sleep(0.2)


def timelines(house: House) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for command_id, state in house.select(
        "SELECT command_id, state FROM command_events ORDER BY id"
    ):
        found.setdefault(command_id, []).append(state)
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)  # it takes about a minute; a busy machine may need longer
async def test_no_command_lies_or_acts_twice_over_eight_kills(killed_house: House) -> None:
    house = killed_house
    moments = random.Random(SEED)
    devices = make_devices(house)
    sender = Sender(house, devices)
    running = [asyncio.create_task(device.run(house.mqtt_port)) for device in devices]
    try:
        sending = asyncio.gather(
            *[sender.send(list(range(first, COMMANDS, SENDERS))) for first in range(SENDERS)]
        )
        for _ in range(KILLS):
            # Not a wait for something: this is the random moment.
            await asyncio.sleep(moments.uniform(0.1, LONGEST_LIFE_S))
            await asyncio.to_thread(house.kill)
            await asyncio.to_thread(house.start)
        await sending
        rows = await settled(house)
        for device in devices:
            assert not device.failure, device.failure
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    await asyncio.to_thread(house.stop)

    # None is lost, and none is there twice.
    assert sorted(row[0] for row in rows) == list(range(COMMANDS))
    assert {row[0]: row[1] for row in rows} == sender.ids
    lines = timelines(house)
    for n, command_id, state, reason in rows:
        device = devices[n % DEVICES]
        what = f"{device.device_id} {n} {state} ({reason}) {lines[command_id]}"
        effects = device.effects[n]
        assert effects <= 1, f"took effect twice: {what}"
        # The state is true: a device that acted said so until it was heard, the deaf never did.
        has_said_so = effects == 1 and device.character != DEAF
        assert state == (SUCCEEDED if has_said_so else EXPIRED), what
        if device.remembers and device.character != DEAF:
            assert effects == 1, f"never took effect: {what}"
        assert lines[command_id][0] == QUEUED
        for before, after in itertools.pairwise(lines[command_id]):
            assert before == after or before in SOURCES[after], what
    # The kills hit something.
    assert sender.repeated > 0
    assert min(device.connections for device in devices) > KILLS // 2
