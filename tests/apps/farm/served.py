"""Served: a house with the farm on real ports, in this process."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx

from fleetwire.apps.farm import create
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import Caller, Outcome, People
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from tests.apps.farm.barn import ROOT

T = TypeVar("T")


class Served:
    """What tests ask of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port = house.ports["farm"]
        self.token = ""
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}")

    def service(self, kind: Callable[..., T]) -> T:
        assert isinstance(kind, type)
        return cast(T, self.house.services[kind])

    @property
    def caller(self) -> Caller:
        return self.house.guests.caller()

    async def sign_in(self) -> None:
        assert self.house.administrator is not None
        people = cast(People, self.house.services[People])
        self.token = (await people.sign_in(*self.house.administrator, "test")).token
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self._http.request(method, ROOT + path, json=body)

    async def good(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.ask(method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    async def sensor(self, *variables: str, uuid: str = "s-1") -> dict[str, Any]:
        data = await self.good("POST", "/sensors", {"name": uuid, "uuid": uuid})
        sensor: dict[str, Any] = data["sensor"]
        for name in variables:
            body = {"variableName": name, "sensorId": sensor["id"]}
            sensor[name] = (await self.good("POST", "/telemetry", body))["telemetry"]["id"]
        return sensor

    async def token_of(self, sensor: dict[str, Any]) -> str:
        """Return a new token of a sensor."""
        return str((await self.good("POST", "/device-tokens", {"sensorId": sensor["id"]}))["token"])

    async def publish(self, topic: str, payload: bytes) -> Outcome:
        """Give a message to the road, as MQTT would."""
        return await self.house.intake.receive(self.caller, topic, payload)

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def served(
    folder: Path, terms: Terms, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """Start a house, sign in as its owner, and stop it in the end."""
    (folder / "data").mkdir()
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    overrides |= {"data_dir": folder / "data", "bind": "127.0.0.1", "app_ports": "farm=0"}
    house = House(load(overrides, dict(environment or {}), folder), apps=[create(terms)])
    try:
        await house.start()
        farm = Served(house)
        try:
            await farm.sign_in()
            yield farm
        finally:
            await farm.close()
    finally:
        await house.stop()
