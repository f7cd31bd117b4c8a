"""HubDevice: a device of a TestHub, with a session in the real broker and no socket."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from fleetwire.broker.link import Link
from fleetwire.broker.session import Session
from fleetwire.kit import Caller, Credential, Device, Outcome
from fleetwire.net.authenticator import Offer
from fleetwire.net.clients import Client
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.packets import Ack, Connect, Publish, Subscribe, Subscription
from fleetwire.runtime.house import House

COMMAND_WITHIN_S = 5.0
REMOTE = "test"


class Received(msgspec.Struct, frozen=True):
    """A message that came down to the device."""

    topic: str
    payload: bytes
    retain: bool
    command_id: str  # of a command, by its Correlation Data; "" = it is none

    def json(self) -> Any:
        """Return the payload as JSON."""
        return msgspec.json.decode(self.payload)


class HubDevice:
    """A registered device. It acknowledges what it gets, unless told to be `deaf`."""

    def __init__(
        self, house: House, device: Device, credential: Credential, clock: Callable[[], int]
    ) -> None:
        self.device = device
        self.device_id = device.device_id
        self.credential = credential
        self.is_deaf = False
        self.received: list[Received] = []
        self._house = house
        self._clock = clock
        self._app = next(app for app in house.apps if app.name == device.app)
        self._presence: _Presence | None = None
        self._arrived = asyncio.Condition()
        self._taken = 0

    async def send(self, topic: str, payload: object, *, qos: int = 1) -> Outcome:
        """Publish, and return what became of it once it is stored or refused.

        `topic` may be a template with `{device_id}` or any other name for the device; `payload` is
        bytes or what JSON can say.
        """
        content = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        name = "/".join(self.device_id if level[:1] == "{" else level for level in topic.split("/"))
        caller = Caller.of_device(self.device, REMOTE)
        return await self._house.intake.receive(caller, name, content, qos=qos)

    async def next_message(self) -> Received:
        """Return the next message that came down, in order. Raises TimeoutError after some time."""
        async with asyncio.timeout(COMMAND_WITHIN_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.received) > self._taken)
        self._taken += 1
        return self.received[self._taken - 1]

    async def answer(self, command_id: str, **said: object) -> Outcome:
        """Answer a command on the app's `response_topic`: `state`, `reason`, `result`."""
        assert self._app.response_topic is not None, "the app's devices answer no commands"
        body = {"command_id": command_id, **said}
        return await self.send(self._app.response_topic, body)

    async def connect(self) -> None:
        """Connect with the device's credential, and subscribe to all that it may read."""
        house = self._house
        now = self._clock()
        client_id = f"hub/{self.device.app}/{self.device_id}"
        password = self.credential.password.encode()
        offer = Offer(client_id, self.credential.username, password, REMOTE, False)
        grant = await house.server.authenticator.authenticate(offer)
        link = _HubLink(self)
        connect = Connect(c.V5, client_id, True, 0)
        opened = house.broker.open(link, connect, client_id, grant, now)
        assert opened.session is not None, opened.reason
        client = Client(client_id, grant, REMOTE, "5.0", now)
        self._presence = _Presence(opened.session, link, client)
        house.server.tell_connected(client)
        filters = [Subscription(each, 1, False, False, 0) for each in grant.subscribe]
        if filters:
            house.broker.subscribe(opened.session, Subscribe(1, filters), now)
        for each in grant.subscribe:
            house.server.tell_listening(client, each)

    def disconnect(self, reason: str = "disconnect") -> None:
        """Go away."""
        assert self._presence is not None, "it is not connected"
        presence, self._presence = self._presence, None
        presence.link.closed = True
        self._house.broker.close(
            presence.session, presence.link, with_will=False, now=self._clock()
        )
        self._house.server.tell_disconnected(presence.client, reason)

    async def hear(self, publishes: list[Publish]) -> None:
        """Take what came down."""
        acks = []
        async with self._arrived:
            for publish in publishes:
                said = (publish.properties or {}).get(c.CORRELATION_DATA, b"")
                command_id = said.decode("ascii", "replace") if isinstance(said, bytes) else ""
                self.received.append(
                    Received(publish.topic_name, publish.payload, publish.retain, command_id)
                )
                if publish.qos and not self.is_deaf:
                    acks.append(Ack(c.PUBACK, publish.packet_id))
            self._arrived.notify_all()
        if acks and self._presence is not None:
            self._house.broker.acknowledge(self._presence.session, acks, self._clock())


class _Presence(NamedTuple):
    session: Session
    link: Link
    client: Client


class _HubLink(Link):
    def __init__(self, device: HubDevice) -> None:
        super().__init__()
        self.version = c.V5
        self._device = device
        self._decoder = Decoder(c.LARGEST_REMAINING_LENGTH, version=c.V5, is_server=False)
        self._hearing: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        asyncio.get_running_loop().call_soon(self._flush)

    def close(self, reason_code: int, reason: str) -> None:
        if not self.closed:
            self.closed = True
            self._device.disconnect(reason)

    def _flush(self) -> None:
        packets = self._decoder.feed(b"".join(self.output))
        self.output.clear()
        self.acknowledged = 0
        publishes = [each for each in packets if isinstance(each, Publish)]
        if publishes and not self.closed:
            task = asyncio.create_task(self._device.hear(publishes))
            self._hearing.add(task)
            task.add_done_callback(self._hearing.discard)
