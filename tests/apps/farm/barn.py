"""Barn: what tests ask of a farm, in few words."""

from typing import Any

import httpx

from fleetwire.testing import HubDevice, TestHub

ROOT = "/api/v1"


class Barn:
    """Asks a TestHub's farm over HTTP, as its owner unless told otherwise."""

    def __init__(self, hub: TestHub) -> None:
        self.hub = hub
        self.http = hub.http()

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> httpx.Response:
        http = self.http if token is None else self.hub.http(token=token)
        if body is not None:
            more["json"] = body
        return await http.request(method, ROOT + path, **more)

    async def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Return the data of an answer that must be good."""
        answer = await self.ask(method, path, body, **more)
        assert answer.status_code < 300, answer.text
        said = answer.json()
        assert said["status"] == "success"
        return said["data"]

    async def sensor(self, *variables: str, uuid: str = "s-1", **more: Any) -> dict[str, Any]:
        """Register a sensor with these variables; each one's number stands under its name."""
        data = await self.good("POST", "/sensors", {"name": uuid, "uuid": uuid, **more})
        sensor: dict[str, Any] = data["sensor"]
        for name in variables:
            body = {"variableName": name, "sensorId": sensor["id"], "datatype": "number"}
            made = await self.good("POST", "/telemetry", body)
            sensor[name] = made["telemetry"]["id"]
        return sensor

    async def token(self, **whose: Any) -> str:
        """Return a new token: `sensorId=…` or `deviceId=…`."""
        data = await self.good("POST", "/device-tokens", whose)
        return str(data["token"])

    async def connected(self, uuid: str) -> HubDevice:
        """Connect as a sensor or device that is registered."""
        return await self.hub.device(uuid)

    async def device(self, uuid: str = "pump-1", **more: Any) -> dict[str, Any]:
        """Register a device."""
        data = await self.good("POST", "/devices", {"name": uuid, "uuid": uuid, **more})
        found: dict[str, Any] = data["device"]
        return found

    async def state(
        self, device: dict[str, Any], name: str = "power", *allowed: Any, **more: Any
    ) -> dict[str, Any]:
        """Give a device a state."""
        body = {"deviceId": device["id"], "stateName": name, **more}
        if allowed:
            body["allowedValues"] = list(allowed)
        data = await self.good("POST", "/device-states", body)
        found: dict[str, Any] = data["deviceState"]
        return found
