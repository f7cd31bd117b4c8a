"""The broker's room over a real server on loopback, with clients of our own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.features.broker.clients import ClientsService
from fleetwire.features.broker.retained import RetainedService
from fleetwire.features.broker.service import BrokerService
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.kit import App
from fleetwire.kit.device import Device
from fleetwire.net.authenticator import Authenticator, Offer
from fleetwire.net.client import MQTTClient
from fleetwire.net.server import ConnectionLimits, Server
from tests.fakes import FakeAudit, FakeClock

DEVICES = {
    "one": Device(1, "demo", "one", 1, "thing", {}),
    "two": Device(2, "demo", "two", 2, "thing", {}),
}


class Door(Authenticator):
    """A user name that is a device's is that device; everybody else is anonymous."""

    async def authenticate(self, offer: Offer) -> Grant:
        device = DEVICES.get(offer.username or "")
        if device is None:
            return Grant("anonymous", ["#"], ["#", "$SYS/#"], anonymous=True)
        return Grant(
            f"device:demo/{device.device_id}",
            ["#"],
            ["#"],
            organization_id=device.organization_id,
            device=device.id,
        )


class KnownDevices:
    """The one question that the room asks of the registry."""

    def find(self, app: str, device_id: str) -> Device | None:
        return DEVICES.get(device_id) if app == "demo" else None


def find_device(device: int) -> Device | None:
    return next((each for each in DEVICES.values() if each.id == device), None)


class Room:
    """A running server and the services over it."""

    def __init__(self) -> None:
        self.broker = Broker(Limits())
        self.server = Server(self.broker, Door(), ConnectionLimits())
        self.audit = FakeAudit()
        self.clock = FakeClock()
        app = App("demo", publishes=["devices/{device_id}/state"], subscribes=[])
        devices: Any = KnownDevices()
        owners = TopicOwners(devices, {"demo": app})
        self.overview = BrokerService(self.server, self.audit)
        self.clients = ClientsService(self.broker, find_device, self.audit, clock=self.clock)
        self.retained = RetainedService(self.broker, owners, self.audit, clock=self.clock)
        self.port = 0

    @property
    def services(self) -> dict[type, object]:
        return {
            BrokerService: self.overview,
            ClientsService: self.clients,
            RetainedService: self.retained,
        }

    @asynccontextmanager
    async def client(
        self, client_id: str, username: str | None = None, **options: Any
    ) -> AsyncIterator[MQTTClient]:
        """A connected client; as a device, if that is its user name."""
        password = None if username is None else "secret"
        client = MQTTClient(client_id, username=username, password=password, **options)
        await client.connect("127.0.0.1", self.port)
        try:
            yield client
        finally:
            await client.disconnect()


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    room.port = await room.server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    try:
        yield room
    finally:
        await room.server.close()
