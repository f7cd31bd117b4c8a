"""The page behind a claim's QR code, in a real browser, under its own Content Security Policy."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.house import House

WAIT_S = 30.0
LOOK_S = 0.05
SHOWN = """new Promise(tell => { const look = () => { const said = document.querySelector("pre");
  said && said.textContent ? tell(said.textContent) : setTimeout(look, 20); }; look(); })"""


class Browser:
    """A headless Chromium, spoken to by its DevTools protocol."""

    def __init__(self, channel: ClientConnection) -> None:
        self._channel = channel
        self._numbers = itertools.count(1)
        self._heard: set[str] = set()

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._channel.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(await self._channel.recv())
            if said.get("id") == number:
                return said["result"]
            self._heard.add(said.get("method", ""))

    async def open(self, url: str) -> None:
        """Go there, and return when the page has loaded."""
        await self.call("Page.enable")
        self._heard.clear()
        await self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._heard:
            self._heard.add(json.loads(await self._channel.recv()).get("method", ""))

    async def run(self, script: str) -> Any:
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        return answer["result"].get("value")


async def told(path: Path) -> str:
    """Return the first line of a file that another program writes when it is ready."""
    while not path.exists() or not path.read_text():  # noqa: ASYNC110, ASYNC240  # another process
        await asyncio.sleep(LOOK_S)
    return path.read_text().splitlines()[0]  # noqa: ASYNC240  # a line


@pytest.mark.needs_chromium
async def test_who_scans_the_code_claims_the_device_on_the_page(
    shared_house: House, tmp_path: Path
) -> None:
    wanted = {"app": "medical", "device_id": "scanned", "type": "ecg_monitor"}
    made = shared_house.http(shared_house.url).post("/api/v1/claims", json=wanted).json()
    browser = await asyncio.create_subprocess_exec(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S):
            port = await told(tmp_path / "DevToolsActivePort")
            async with httpx.AsyncClient() as http:
                pages = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            (page,) = [each for each in pages if each["type"] == "page"]
            async with connect(page["webSocketDebuggerUrl"], max_size=None) as channel:
                tab = Browser(channel)
                await tab.open(made["url"])
                assert await tab.run("document.forms[0].code.value") == made["code"]
                await tab.run("document.forms[0].requestSubmit()")
                shown = json.loads(await tab.run(SHOWN))
    finally:
        browser.terminate()
        await browser.wait()
    assert shown["username"] == "scanned"
    assert len(shown["password"]) == 64
    items = shared_house.http(shared_house.url).get("/api/v1/claims").json()["items"]
    (claim,) = [each for each in items if each["device_id"] == "scanned"]
    assert claim["state"] == "used"
