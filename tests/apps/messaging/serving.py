"""A house with the messaging app on real sockets, whose gate believes what a token says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.requests import HTTPConnection

from fleetwire.apps.messaging import configure
from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.permissions import PERMISSIONS
from fleetwire.kit import App, Caller, Gate, Messages
from fleetwire.net.client import MQTTClient
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from tests.web.realtime.socket_client import SocketIOClient, entered

NAMESPACE = "/mqtt"


class SaidGate(Gate):
    """Believes `<account> [role] [organisation] [subject]`; who is in `gone` is let in no more.

    What real tokens stand for is proved beside the accounts, and once in test_tokens.py.
    """

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.roles: dict[int, str] = {}  # other ones than the tokens say

    async def caller(self, connection: HTTPConnection) -> Caller:
        _, _, said = connection.headers.get("authorization", "").partition(" ")
        account, role, organization, subject = (*said.split(), *[""] * 4)[:4]
        if not account.isdecimal() or int(account) in self.gone:
            raise UnauthenticatedError("Sign in first.")
        number = int(account)
        role = self.roles.get(number, role or "viewer")
        return Caller(
            f"account:{number}",
            int(organization or 1),
            PERMISSIONS[role],
            account_id=number,
            role=role,
            subject=subject,
        )


class Served:
    """The house, and clients of its listeners."""

    def __init__(self, house: House, gate: SaidGate) -> None:
        self.house = house
        self.gate = gate
        self.port = house.ports["messaging"]
        self._clients: dict[str, httpx.AsyncClient] = {}

    def http(self, token: str = "1") -> httpx.AsyncClient:
        """Return a client of the messaging listener."""
        if token not in self._clients:
            self._clients[token] = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{self.port}",
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
        return self._clients[token]

    @asynccontextmanager
    async def socket(self, token: str = "1", **auth: Any) -> AsyncIterator[SocketIOClient]:
        """Connect to the namespace; the greeting is taken already."""
        async with entered(self.port, NAMESPACE, {"token": token, **auth}) as client:
            await client.next("mqtt:status")
            yield client

    @asynccontextmanager
    async def mqtt(self, client_id: str = "other") -> AsyncIterator[MQTTClient]:
        """Connect an MQTT client without credentials."""
        client = MQTTClient(client_id)
        await client.connect("127.0.0.1", self.house.ports["mqtt"])
        try:
            yield client
        finally:
            if client.is_connected:
                await client.disconnect()

    async def publish_as_house(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish as any other service of the house does."""
        messages = self.house.services[Messages]
        assert isinstance(messages, Messages)
        await messages.publish(Caller.system(1), topic, payload, qos=qos)

    async def told(self) -> None:
        """Return once what the house has published is stored and told."""
        await asyncio.sleep(0)  # let it be handed to the store
        await self.house.database.write(lambda tx: None)

    def look_again(self, account: int) -> None:
        """Do what the house does when somebody's rights change."""
        self.house.realtime.recheck(f"account:{account}")

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.aclose()


@asynccontextmanager
async def serving(folder: Path, *apps: App) -> AsyncIterator[Served]:
    """Run a house in this process, without `apps` with messaging alone."""
    (folder / "data").mkdir(exist_ok=True)
    overrides: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    overrides |= {"data_dir": folder / "data", "bind": "127.0.0.1", "app_ports": {"messaging": 0}}
    gate = SaidGate()
    house = House(load(overrides, {}, folder), apps=apps or [configure({})])
    house.listeners.gate = gate
    try:
        await house.start()
        served = Served(house, gate)
        yield served
        await served.close()
    finally:
        await house.stop()


async def nothing_more(client: SocketIOClient) -> list[Any]:
    """Return the messages that have come and were not taken, once all that was sent is there."""
    await client.ask("mqtt:status")
    return [content for name, content in client.told if name == "mqtt:message"]


async def quiet() -> None:
    """Let what is ready on the loop run."""
    for _ in range(10):
        await asyncio.sleep(0)
