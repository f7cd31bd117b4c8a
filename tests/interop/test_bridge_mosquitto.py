"""Bridges to Debian's mosquitto, which is stopped, killed and started again."""

import asyncio
import getpass
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.net.bridge.plan import TopicRule
from fleetwire.net.client import ClientError, MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Subscription
from tests.net.bridging import HOST, Ear, Place, plan, until

pytestmark = pytest.mark.needs_mosquitto

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
START_TIMEOUT_S = 10.0


class Mosquitto(Place):
    """A mosquitto that keeps its state in a folder over its stops."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__("mosquitto")
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, **listening: object) -> "Mosquitto":
        config = self.folder / "mosquitto.conf"
        config.write_text(
            # It would give up root, and with it the right to write into this folder.
            f"user {getpass.getuser()}\nlistener {self.port} {HOST}\nallow_anonymous true\n"
            f"persistence true\npersistence_location {self.folder}/\nmax_queued_messages 0\n"
        )
        self._process = subprocess.Popen(  # noqa: ASYNC220  # it returns at once
            ["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                probe = MQTTClient("probe")
                try:
                    await probe.connect(HOST, self.port)
                except ClientError:
                    await asyncio.sleep(0.02)  # it does not say when it listens
                else:
                    await probe.disconnect()
                    return self

    async def stop(self) -> None:
        """Ask it to store its state and end."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await asyncio.to_thread(process.wait, START_TIMEOUT_S)

    async def keeper(self, topic_filter: str) -> MQTTClient:
        """Return a client whose session lasts."""
        properties: Properties = {c.SESSION_EXPIRY_INTERVAL: 100}
        client = MQTTClient("keeper", clean_start=False, properties=properties)
        await client.connect(HOST, self.port)
        await client.subscribe(Subscription(topic_filter, 2))
        return client

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None


@pytest.fixture
async def there(tmp_path: Path, free_port: int) -> AsyncIterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path, free_port)
    await mosquitto.start()
    yield mosquitto
    await mosquitto.close()


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    place = await Place("here").start()
    yield place
    await place.close()


async def say(mouth: Ear, topic: str, texts: list[str], qos: int) -> None:
    for text in texts:
        await mouth.client.publish(topic, text.encode(), qos)


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_in_and_out_with_prefixes(
    here: Place, there: Mosquitto, version: str, qos: int
) -> None:
    out, back = await there.ear("site-1/#"), await here.ear("central/#")
    rules = (
        TopicRule("+/data", "out", 2, "", "site-1/"),
        TopicRule("config/#", "in", 2, "central/", ""),
    )
    here.bridge(plan(there.port, *rules, version=version))
    await here.until_connected()
    here.say("bp-1/data", "out", qos)
    (heard,) = await out.until(1)
    assert (heard.topic_name, heard.payload, heard.qos) == ("site-1/bp-1/data", b"out", qos)
    await say(out, "config/bp-1", ["in"], qos)
    (heard,) = await back.until(1)
    assert (heard.topic_name, heard.payload, heard.qos) == ("central/config/bp-1", b"in", qos)


@VERSIONS
async def test_both_ways_without_echo(here: Place, there: Mosquitto, version: str) -> None:
    ears = await here.ear("t/#"), await there.ear("t/#")
    here.bridge(plan(there.port, TopicRule("t/#", "both", 2), version=version))
    await here.until_connected()
    for qos in (0, 1, 2):
        await say(ears[0], "t/1", [f"here {qos}"], qos)
        await ears[1].until(2 * qos + 1)
        await say(ears[1], "t/2", [f"there {qos}"], qos)
        await ears[0].until(2 * qos + 2)
    await say(ears[0], "t/1", ["end"], 1)
    await ears[1].until(7)
    for ear in ears:
        assert sorted(ear.texts) == sorted(
            ["end", *[f"{side} {qos}" for side in ("here", "there") for qos in (0, 1, 2)]]
        )


@VERSIONS
async def test_retained_messages(here: Place, there: Mosquitto, version: str) -> None:
    mouth = await there.ear()
    await mouth.client.publish("there/state", b"off", 1, retain=True)
    here.say("here/state", "on", retain=True)
    rules = TopicRule("here/#", "out"), TopicRule("there/#", "in")
    here.bridge(plan(there.port, *rules, version=version))
    await here.until_connected()
    await until(lambda: here.status().counts.messages_out == 1)
    ear = await there.ear("here/#")
    (heard,) = await ear.until(1)
    assert (heard.payload, heard.retain) == (b"on", True)
    ear = await here.ear("there/#")
    (heard,) = await ear.until(1)
    assert (heard.payload, heard.retain) == (b"off", True)


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
async def test_nothing_is_lost_while_mosquitto_is_restarted(
    here: Place, there: Mosquitto, version: str, qos: int
) -> None:
    keeper = await there.keeper("out/#")
    await keeper.disconnect()
    back = await here.ear("in/#")
    rules = TopicRule("out/#", "out", qos), TopicRule("in/#", "in", qos)
    here.bridge(plan(there.port, *rules, version=version))
    await here.until_connected()
    for round_ in range(3):
        for number in range(100):
            here.say("out/x", str(100 * round_ + number), qos)
        await there.stop()  # in the middle of these
        await here.until_away()
        await there.start()
        mouth = await there.ear()
        await say(mouth, "in/x", [str(100 * round_ + number) for number in range(100)], qos)
        await here.until_connected()
        # Stopped with more than 20 messages between PUBREC and PUBCOMP, mosquitto sends some of
        # them as new ones. Its acknowledgement of what goes out last says that it has read all.
        await back.until(100 * (round_ + 1))
        await until(lambda: not here.broker.sessions["bridge/hub"].received)
        here.say("out/x", f"end of {round_}", qos)
        await until(lambda: here.status().queued == 0)
    await until(lambda: here.status().queued == 0)
    assert here.status().counts.dropped == {}
    heard: list[str] = []
    keeper = await there.keeper("out/#")
    async with asyncio.timeout(10):
        async for message in keeper.messages():
            heard.append(message.payload.decode())
            if heard[-1] == "end of 2":
                break
    await keeper.disconnect()
    everything = [str(number) for number in range(300)]
    ends = {f"end of {round_}" for round_ in range(3)}
    assert ends < set(heard)
    heard = [text for text in heard if text not in ends]
    assert list(dict.fromkeys(heard)) == list(dict.fromkeys(back.texts)) == everything
    if qos == 2:
        assert heard == back.texts == everything


async def test_a_killed_mosquitto_gets_what_it_had_not_acknowledged(
    here: Place, there: Mosquitto
) -> None:
    here.bridge(plan(there.port, TopicRule("t/#", "out", 1)))
    await here.until_connected()
    there.kill()
    await here.until_away()
    for number in range(200):
        here.say("t/x", str(number))
    await there.start()
    ear = await there.ear("t/#")
    here.say("t/x", "end")
    await until(lambda: "end" in ear.texts)
    await until(lambda: here.status().queued == 0)
    assert here.status().counts.messages_out == 201
