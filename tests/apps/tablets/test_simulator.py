"""Virtual tablets: the same again for the same seed, and the truth about what they did."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwire.apps.tablets.simulator import Simulator, VirtualTablet
from fleetwire.kit.simulation import Link, Received, SimulationSettings
from fleetwire.runtime.loader import simulator_of
from fleetwire.runtime.simulation import Ending, Tally, drive
from tests.apps.tablets.house import url_of
from tests.house import House

CLOCK_FIELDS = ("timestamp", "uptime", "bootTime")


class Diary(Link):
    """A link to nowhere that acknowledges everything; the end comes after so many messages."""

    def __init__(self, most: int) -> None:
        self.lines: list[tuple[str, Any]] = []
        self._most = most

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
        return None

    async def disconnect(self) -> None:
        self.lines.append(("disconnect", None))

    def drop(self) -> None:
        self.lines.append(("drop", None))

    async def pause(self, seconds: float) -> None:
        return


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


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, apps=("tablets",))
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.slow
async def test_the_tables_say_what_the_tablets_know(house: House) -> None:
    """The last battery and place of each, and every command once, whoever slept or died."""
    simulator = Simulator(SimulationSettings(12, 7, interval_s=0.1))
    ending, tally = Ending(), Tally()
    running = asyncio.create_task(
        drive(
            simulator,
            "127.0.0.1",
            house.mqtt_port,
            duration_s=60,
            logins={},
            tally=tally,
            ending=ending,
        )
    )
    sent: dict[str, str] = {}
    try:
        await until(lambda: all(tablet.battery is not None for tablet in simulator.tablets))
        for tablet in simulator.tablets:
            sent[tablet.device_id] = await asyncio.to_thread(command, house, tablet)
        await until(
            lambda: (
                all(tablet.commands[sent[tablet.device_id]] for tablet in simulator.tablets)
                and simulator.counts["deaths"] > 0
                and simulator.counts["sleeps"] > 0
            )
        )
    finally:
        ending.come()
        await running
    assert tally.errors == {}
    assert tally.acknowledged == tally.sent
    for tablet in simulator.tablets:
        assert tablet.commands == {sent[tablet.device_id]: 1}
        shown = house.http(url_of(house)).get(f"/api/device/{tablet.device_id}").json()["data"]
        assert shown["battery"] == tablet.battery
        assert (shown["latitude"], shown["longitude"]) == tablet.place
        assert shown["actionLogs"][0]["kind"] in ("event", "command")
    assert house.select("SELECT count(*) FROM quarantine") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("with_account", [False, True])
def test_the_command_line_drives_them_and_says_how_it_went(
    house: House, with_account: bool
) -> None:
    words = [
        "simulate",
        "tablets",
        "--devices",
        "5",
        "--rate",
        "10",
        "--duration",
        "2s",
        "--seed",
        "7",
    ]
    words += ["--port", str(house.mqtt_port), "--platform-url", house.url]
    if with_account:
        assert house.administrator is not None
        words += ["--username", "admin", "--password", house.administrator.password]
    done = subprocess.run(
        [sys.executable, "-m", "fleetwire.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses = int(re.findall(r"statuses (\d+)", done.stdout)[0])
    assert statuses > 5
    assert "errors 0" in done.stdout
    data = house.http(url_of(house)).get("/api/device").json()["data"]
    assert len(data) == 5
    # Whose session ended is known of those with credentials.
    assert {each["status"] for each in data} == {"OFFLINE" if with_account else "ONLINE"}


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
