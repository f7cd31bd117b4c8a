"""A real Fleetwire with the tablets app, and what its users start beside it."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

from tests.house import House

WAIT_S = 10.0


def url_of(house: House) -> str:
    """The root of the app's listener."""
    return f"http://127.0.0.1:{house.app_ports['tablets']}"


def at_port(house: House, line: str) -> list[str]:
    """Return the words of a line of the contract, sent to the port of this house."""
    words = shlex.split(line)
    return [words[0], "-p", str(house.mqtt_port), *words[1:]]


@contextmanager
def tablets_house(folder: Path, **options: Any) -> Iterator[House]:
    """Start a server with the app alone, and end it."""
    house = House(folder, apps=("tablets",), **options)
    try:
        house.start()
        yield house
    finally:
        house.close()


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a program and end it afterwards."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def until_subscribed(house: House, topic_filter: str) -> None:
    """Return once some client has subscribed: mosquitto_sub does not say it."""
    clients = house.http(house.url)
    async with asyncio.timeout(WAIT_S):
        while True:
            for each in clients.get("/api/v1/broker/clients").json()["items"]:
                path = f"/api/v1/broker/clients/{each['client_id']}"
                if topic_filter in clients.get(path).text:
                    return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(house: House, token: str = "", *, header: str = "") -> AsyncIterator[Any]:
    """Follow `/ws` as a dashboard; gives a function for the next frame of a type and tablet."""
    query = f"?token={token}" if token else ""
    url = f"ws://127.0.0.1:{house.app_ports['tablets']}/ws{query}"
    headers = {"Authorization": f"Bearer {header}"} if header else None
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        welcome = json.loads(await socket.recv())
        assert (welcome["type"], type(welcome["message"])) == ("connected", str)

        async def next_of(type: str, code: str) -> dict[str, Any]:
            while True:
                frame: dict[str, Any] = json.loads(await socket.recv())
                if (frame["type"], frame["deviceCode"]) == (type, code):
                    return frame

        yield next_of
