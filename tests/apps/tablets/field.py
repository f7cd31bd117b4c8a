"""A whole house without sockets, with the demonstration's people, for the calls of the contract."""

from collections.abc import Sequence
from typing import Any

import httpx

from fleetwire.kit import Component, Health
from fleetwire.testing import TestHub


class Reachable(Health):
    """Says whether tablets can be reached; what the real one says is proved elsewhere."""

    def __init__(self) -> None:
        self.is_reachable = True

    def is_connected(self) -> bool:
        return self.is_reachable

    async def components(self) -> Sequence[Component]:
        return []

    def metrics(self) -> bytes:
        return b""


class Field:
    """A hub with clients signed in as the demonstration's people, and the house's viewer."""

    def __init__(self, hub: TestHub, health: Reachable) -> None:
        self.hub = hub
        self.health = health
        self.http = hub.http()
        self.nobody = hub.http(token="")

    async def login(self, username: str, password: str) -> httpx.AsyncClient:
        answer = await self.nobody.post(
            "/api/auth/login", json={"username": username, "password": password}
        )
        assert answer.status_code == 200, answer.text
        return self.hub.http(token=answer.json()["token"])

    async def elsewhere(self) -> httpx.AsyncClient:
        """Return a client of the owner in an organisation of his that has nothing yet."""
        platform = self.hub.http("platform")
        made = await platform.post("/api/v1/organizations", json={"name": "Elsewhere"})
        body = {"organization": made.json()["id"]}
        answer = await platform.post("/api/v1/auth/switch", json=body)
        return self.hub.http(token=answer.json()["access_token"])

    async def device(self, code: str) -> dict[str, Any]:
        answer = await self.http.post("/api/device/", json={"deviceCode": code})
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


async def lend(field: Field, *ids: object) -> dict[str, Any]:
    body = {
        "company": "Acme",
        "borrowerId": "17",
        "charger": 2,
        "deviceIds": ids,
        "startTime": "2026-02-01T08:00:00Z",
        "endTime": "2026-02-03T17:00:00Z",
        "usageNotes": "Trade fair",
    }
    answer = await field.http.post("/api/checkouts", json=body)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    assert data | {name: body[name] for name in ("company", "borrowerId", "charger")} == data
    return data
