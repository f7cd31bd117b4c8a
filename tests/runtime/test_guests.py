"""An app's own life in a real server: start, demonstration, timers, hearing, and a kill."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Listener
from fleetwire.runtime.house import House as HouseInProcess
from fleetwire.settings import load
from tests.house import House

SOURCE = """
from sqlalchemy import Column, MetaData, Table, Text, insert

from fleetwire.kit import App, Caller, Devices, LiveEvent, SendCommand, Store

app = App(
    "lamps",
    publishes=["lamps/{device_id}/on"],
    subscribes=["lamps/{device_id}/orders"],
    command_topic="lamps/{device_id}/orders",
)
lines = Table("lamps_lines", MetaData(), Column("said", Text))


def say(said):
    return lambda tx: tx.execute(insert(lines).values(said=said)) and None


@app.on_start
async def start(store: Store) -> None:
    await store.write(lambda tx: lines.metadata.create_all(tx.connection))
    await store.write(say("start"))


@app.demo
async def demo(caller: Caller, devices: Devices, store: Store) -> None:
    await devices.register(caller, "lamps", "lamp-1", "lamp")
    await store.write(say("demo"))


@app.every(0.05)
async def blink(devices: Devices, store: Store) -> None:
    lamp = devices.find("lamps", "lamp-1")

    def work(tx):
        say("blink")(tx)
        return SendCommand(lamp, "blink", expires_in_s=600)

    await store.apply(work)


@app.on("command.queued")
async def heard(event: LiveEvent, store: Store) -> None:
    await store.write(say(event.name))
"""


def installed(folder: Path) -> dict[str, str]:
    """Put the app into a folder as a wheel would; return the environment that finds it there."""
    folder.mkdir()
    (folder / "lamps_app.py").write_text(SOURCE)
    about = folder / "lamps_app-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps-app\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fleetwire.apps]\nlamps = lamps_app:app\n")
    return {"PYTHONPATH": str(folder), "FLEETWIRE_APPS": "lamps"}


@pytest.fixture
def lamps(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, options=["--demo"], environment=installed(tmp_path / "app"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def said(house: House) -> list[str]:
    return [row[0] for row in house.select("SELECT said FROM lamps_lines ORDER BY rowid")]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_app_lives_in_the_server_and_its_rows_and_commands_survive_kills(lamps: House) -> None:
    for kills in range(3):
        before = said(lamps).count("blink")
        wait_until(lambda before=before: said(lamps).count("blink") > before + 3)
        lamps.kill()
        # Each row that caused a command has its command, whenever the kill came.
        commands = lamps.select("SELECT count(*) FROM commands WHERE app = 'lamps'")[0][0]
        assert commands == said(lamps).count("blink"), kills
        lamps.start()
    lines = said(lamps)
    assert (lines.count("start"), lines.count("demo")) == (4, 1)
    wait_until(lambda: "command.queued" in said(lamps))
    lamps.stop()
    assert "a timer fails" not in lamps.log()


async def test_an_app_on_the_platforms_port_is_named(tmp_path: Path, free_port: int) -> None:
    overrides: dict[str, object] = {"http_port": free_port, "mqtt_port": 0, "mqtt_ws_port": 0}
    apps = [App("coffee", listener=Listener(free_port, "coffee"))]
    (tmp_path / "data").mkdir()
    house = HouseInProcess(load(overrides, {}, tmp_path), apps=apps)
    try:
        with pytest.raises(
            SettingsError, match=f"'platform' and 'coffee' are both given port {free_port}"
        ):
            await house.start()
    finally:
        await house.stop()
