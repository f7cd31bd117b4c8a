"""Virtual tablets: the same again for the same seed, and the truth about what they did."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from fleetwire.apps.tablets.simulator import Simulator, VirtualTablet
from fleetwire.kit.simulation import Link, Received, SimulationSettings
from fleetwire.runtime.loader import simulator_of
from fleetwire.testing import simulated
from tests.apps.tablets.house import WAIT_S, tablets_house, url_of, watching
from tests.house import House

CLOCK_FIELDS = ("timestamp", "uptime", "bootTime")


class Diary(Link):
    """A link to nowhere that acknowledges everything; the end comes after so many messages."""

    def __init__(self, most: int, commands: int = 0) -> None:
        self.lines: list[tuple[str, Any]] = []
        self._most = most
        self._commands = commands

    @property
    def is_over(self) -> bool:
        return len(self.lines) >= self._most

    async def connect(self) -> None:
        self.lines.append(("connect", None))

    async def publish(self, topic: str, body: Any, *, qos: int = 1) -> bool:
        said = {name: value for name, value in body.items() if name not in CLOCK_FIELDS}
        self.lines.append((topic, said))
        return True

    async def receive(self, timeout_s: float) -> Received | None:
        if not self._commands:
            return None
        self._commands -= 1
        told = {"action": "SEND_DATA_NOW", "params": {}, "commandId": f"c{self._commands}"}
        return Received("tablet/x/command", msgspec.json.encode(told))

    async def disconnect(self) -> None:
        self.lines.append(("disconnect", None))

    def drop(self) -> None:
        self.lines.append(("drop", None))

    async def pause(self, seconds: float) -> None:
        return


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server with no tablet yet."""
    with tablets_house(tmp_path) as house:
        yield house


async def lives(seed: int, messages: int = 400) -> list[list[tuple[str, Any]]]:
    found = []
    for tablet in Simulator(SimulationSettings(3, seed)).devices():
        diary = Diary(messages)
        await tablet.live(diary)
        found.append(diary.lines)
    return found


async def test_the_same_seed_is_the_same_fleet() -> None:
    assert await lives(7) == await lives(7)
    assert await lives(7) != await lives(8)


async def test_tablets_sleep_die_and_walk() -> None:
    lines = [line for life in await lives(7) for line in life]
    kinds = [each for each, _ in lines]
    assert kinds.count("drop") > 0
    assert kinds.count("disconnect") > 3  # each says goodbye at the end as well
    places = {
        (body["latitude"], body["longitude"]) for _, body in lines if "latitude" in (body or {})
    }
    assert len(places) > 50
    batteries = [body["battery"] for _, body in lines if "battery" in (body or {})]
    assert min(batteries) >= 0
    assert max(batteries) <= 100


def test_the_app_is_found_by_its_name() -> None:
    assert simulator_of("tablets") is Simulator


async def test_a_fleet_that_counts_its_steps_comes_to_its_end_by_itself() -> None:
    simulator = Simulator(SimulationSettings(3, 7, steps=40))
    for tablet in simulator.devices():
        diary = Diary(10_000)
        await tablet.live(diary)
        assert diary.lines[-1] == ("disconnect", None)
    assert simulator.summary()["unfinished"] == "0"
    said = [int(simulator.summary()[each]) for each in ("statuses", "places")]
    assert 3 * 20 < said[0] <= 3 * 40
    assert said[1] < said[0]


async def test_what_a_tablet_is_asked_to_do_beside_its_life_does_not_change_it() -> None:
    async def batteries(commands: int) -> list[int]:
        [tablet] = Simulator(SimulationSettings(1, 7, steps=30)).devices()
        diary = Diary(10_000, commands)
        await tablet.live(diary)
        partial = [body["battery"] for _, body in diary.lines if body and "battery" in body]
        return [each for at, each in enumerate(partial) if at == 0 or partial[at - 1] != each]

    assert await batteries(5) == await batteries(0)


@pytest.mark.slow
async def test_the_same_seed_has_the_same_summary_however_slow_the_server(
    house: House,
) -> None:
    async def live(seed: int, interval_s: float) -> dict[str, str]:
        simulator = Simulator(SimulationSettings(20, seed, interval_s=interval_s, steps=25))
        async with simulated(simulator, house.mqtt_port) as tally:
            await until(lambda: all(each.has_finished for each in simulator.tablets))
        assert tally.errors == {}
        return simulator.summary()

    first = await live(7, 0.03)
    assert (first["unfinished"], first["repeated"]) == ("0", "0")
    assert first == await live(7, 0.06)
    assert first != await live(8, 0.03)


@pytest_asyncio.fixture
async def fleet(house: House) -> AsyncIterator[Simulator]:
    """A dozen tablets that live while a test runs."""
    simulator = Simulator(SimulationSettings(12, 7, interval_s=0.1))
    async with simulated(simulator, house.mqtt_port) as tally:
        yield simulator
    assert tally.errors == {}
    assert tally.acknowledged == tally.sent


@pytest.mark.slow
async def test_a_fleet_can_be_a_fixture(house: House, fleet: Simulator) -> None:
    """It lives while a test looks at it, and what it says is what `/ws` pushes."""
    async with asyncio.timeout(WAIT_S), watching(house) as next_of:
        for tablet in fleet.tablets:
            frame = await next_of("device_status", tablet.device_id)
            assert frame["data"]["lastSeen"]
    assert fleet.counts["statuses"] >= len(fleet.tablets)


@pytest.mark.slow
async def test_the_tables_say_what_the_tablets_know(house: House) -> None:
    """The last battery and place of each, and every command once, whoever slept or died."""
    simulator = Simulator(SimulationSettings(12, 7, interval_s=0.1))
    tablets, counts = simulator.tablets, simulator.counts
    async with simulated(simulator, house.mqtt_port) as tally:
        await until(lambda: all(tablet.battery is not None for tablet in tablets))
        sent = {each.device_id: await asyncio.to_thread(command, house, each) for each in tablets}
        await until(
            lambda: (
                all(tablet.commands[sent[tablet.device_id]] for tablet in tablets)
                and counts["deaths"] > 0
                and counts["sleeps"] > 0
            )
        )
    assert tally.errors == {}
    assert tally.acknowledged == tally.sent
    for tablet in tablets:
        assert tablet.commands == {sent[tablet.device_id]: 1}
        shown = house.http(url_of(house)).get(f"/api/device/{tablet.device_id}").json()["data"]
        assert shown["battery"] == tablet.battery
        assert (shown["latitude"], shown["longitude"]) == tablet.place
        assert shown["actionLogs"][0]["kind"] in ("event", "command")
    assert house.select("SELECT count(*) FROM quarantine") == [(0,)]


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_two_hundred_tablets_have_the_same_summary_again(house: House) -> None:
    def summary() -> str:
        words = ["--devices", "200", "--rate", "2", "--duration", "2s", "--seed", "7"]
        done = simulate(house, *words)
        assert done.returncode == 0, done.stderr
        assert "errors 0" in done.stdout
        return done.stdout.splitlines()[0]

    first = summary()
    assert first.startswith("statuses ")
    assert first.endswith("repeated 0  unfinished 0")
    assert summary() == first
    assert len(house.http(url_of(house)).get("/api/device").json()["data"]) == 200


@pytest.mark.slow
@pytest.mark.parametrize("with_account", [False, True])
def test_the_command_line_drives_them_and_says_how_it_went(
    house: House, with_account: bool
) -> None:
    words = ["--devices", "5", "--rate", "10", "--duration", "2s", "--seed", "7"]
    if with_account:
        assert house.administrator is not None
        words += ["--username", "admin", "--password", house.administrator.password]
    done = simulate(house, *words)
    assert done.returncode == 0, done.stderr
    statuses = int(re.findall(r"statuses (\d+)", done.stdout)[0])
    assert statuses > 5
    assert "errors 0" in done.stdout
    data = house.http(url_of(house)).get("/api/device").json()["data"]
    assert len(data) == 5
    assert {each["status"] for each in data} == {"OFFLINE"}


def simulate(house: House, *words: str) -> "subprocess.CompletedProcess[str]":
    where = ["--port", str(house.mqtt_port), "--platform-url", house.url]
    return subprocess.run(
        [sys.executable, "-m", "fleetwire.cli.main", "simulate", "tablets", *words, *where],
        capture_output=True,
        text=True,
        timeout=70,
        check=False,
    )


def command(house: House, tablet: VirtualTablet) -> str:
    answer = house.http(url_of(house)).post(
        f"/api/device/{tablet.device_id}/command", json={"action": "LOCK_DEVICE"}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["command"]["id"])


async def until(is_so: Any) -> None:
    async with asyncio.timeout(40):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.05)
