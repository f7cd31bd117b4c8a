"""Virtual devices that take commands, each with a character of its own.

What a device did is counted here, beside the server, which is killed meanwhile. A device that has
acted says so until its answer is acknowledged, over as many connections as that takes.
"""

import asyncio
import contextlib
import json
from collections import Counter

from fleetwire.net.client import ClientError, MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.house import Login

RETRY_S = 0.03
SLOW_S = 0.4
NAP_S = 0.3

PROMPT, SLOW, DEAF, TWICE, NAPPING = "prompt", "slow", "deaf", "twice", "napping"
CHARACTERS = (PROMPT, SLOW, DEAF, TWICE, NAPPING)


class CommandedDevice:
    """One device. `effects` counts what it did by command number.

    `remembers`: it knows a command that comes again and does not act twice. MQTT 3.1.1 devices
    find the command's id in the payload, MQTT 5 devices in the Correlation Data.
    """

    def __init__(
        self, device_id: str, login: Login, character: str, *, version: int, remembers: bool
    ) -> None:
        self.device_id = device_id
        self.character = character
        self.remembers = remembers
        self.effects: Counter[int] = Counter()
        self.connections = 0
        self.failure = ""
        self._login = login
        self._version = version
        self._known: set[str] = set()
        self._unanswered: dict[str, list[str]] = {}  # states to be told, by command id
        self._told = asyncio.Event()
        self._slow: set[asyncio.Task[None]] = set()

    async def run(self, port: int) -> None:
        """Take commands, until cancelled. `failure` is what must not happen, in words."""
        while True:
            try:
                await self._session(port)
            except (ClientError, OSError):
                pass  # the server is gone, or not there yet
            except Exception as error:
                self.failure = f"{self.device_id}: {error!r}"
                raise
            await asyncio.sleep(RETRY_S)

    async def _session(self, port: int) -> None:
        client = MQTTClient(
            self.device_id,
            version=self._version,
            username=self._login.username,
            password=self._login.password,
        )
        try:
            await client.connect("127.0.0.1", port)
            self.connections += 1
            await client.subscribe(Subscription(f"killed/{self.device_id}/commands", 1))
            answering = asyncio.create_task(self._answer(client))
            try:
                async with asyncio.timeout(NAP_S if self.character == NAPPING else None):
                    async for message in client.messages():
                        self._take(message)
            except TimeoutError:
                await asyncio.sleep(NAP_S)  # asleep, without a session that would remember
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        finally:
            with contextlib.suppress(ClientError):
                await client.disconnect()

    def _take(self, message: Publish) -> None:
        body = json.loads(message.payload)
        command_id = str(body["command_id"])
        if self._version == c.V5:
            assert message.properties is not None
            found = message.properties[c.CORRELATION_DATA]
            assert isinstance(found, bytes)
            assert found.decode() == command_id
        if not (self.remembers and command_id in self._known):
            self.effects[body["n"]] += 1
        self._known.add(command_id)
        states = {DEAF: [], TWICE: ["accepted", "succeeded", "failed"]}.get(
            self.character, ["succeeded"]
        )
        if self.character == SLOW:
            task = asyncio.create_task(self._finish_later(command_id))
            self._slow.add(task)
            task.add_done_callback(self._slow.discard)
        elif states:
            self._unanswered[command_id] = list(states)
            self._told.set()

    async def _finish_later(self, command_id: str) -> None:
        await asyncio.sleep(SLOW_S)
        self._unanswered[command_id] = ["succeeded"]
        self._told.set()

    async def _answer(self, client: MQTTClient) -> None:
        while True:
            for command_id, states in list(self._unanswered.items()):
                while states:
                    body: dict[str, object] = {"state": states[0]}
                    properties = None
                    if self._version == c.V5:
                        properties = {c.CORRELATION_DATA: command_id.encode()}
                    else:
                        body["command_id"] = command_id
                    await client.publish(
                        f"killed/{self.device_id}/answers",
                        json.dumps(body).encode(),
                        properties=properties,
                    )
                    states.pop(0)
                if self._unanswered.get(command_id) == []:
                    del self._unanswered[command_id]
            self._told.clear()
            if not self._unanswered:
                await self._told.wait()
