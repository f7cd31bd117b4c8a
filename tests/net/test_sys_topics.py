"""What the broker says of itself under $SYS/broker/."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import NoJournal
from fleetwire.broker.session import Session
from fleetwire.broker.takers import Taker
from fleetwire.net.authenticator import Authenticator, Offer
from fleetwire.net.client import MessageRefusedError, MQTTClient, SubscriptionRefusedError
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.net.sys_topics import Load, SysTopics
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription

WAIT_S = 5.0
NOW = 1_700_000_000_000_000

# What Mosquitto 2.0 says, without heap, sockets, shared subscriptions and what it calls outdated.
NAMES = {
    *("version", "uptime", "subscriptions/count", "retained messages/count"),
    *(f"clients/{what}" for what in ("total", "connected", "disconnected", "maximum", "expired")),
    *("messages/received", "messages/sent", "messages/stored"),
    *("store/messages/count", "store/messages/bytes"),
    *(f"publish/messages/{what}" for what in ("received", "sent", "dropped")),
    *(f"{kind}/{way}" for kind in ("publish/bytes", "bytes") for way in ("received", "sent")),
}
LOADS = {
    f"load/{what}/{span}"
    for span in ("1min", "5min", "15min")
    for what in (
        *("messages/received", "messages/sent", "bytes/received", "bytes/sent", "connections"),
        *("publish/received", "publish/sent", "publish/dropped"),
    )
}


class Watcher(Taker):
    """Looks on."""

    def __init__(self) -> None:
        self.seen: list[Publish] = []

    def take(self, delivery: object) -> None:
        self.seen.append(delivery.publish)  # type: ignore[attr-defined]

    def topics(self) -> dict[str, str]:
        found = {
            publish.topic_name.removeprefix("$SYS/broker/"): publish.payload.decode()
            for publish in self.seen
        }
        self.seen.clear()
        return found


@pytest.fixture
def broker() -> Broker:
    return Broker(Limits())


@pytest.fixture
def watcher(broker: Broker) -> Watcher:
    watcher = Watcher()
    broker.tree.add_taker("$SYS/#", watcher)
    return watcher


def test_the_names_are_mosquittos(broker: Broker, watcher: Watcher) -> None:
    topics = SysTopics(broker, 10, now=0.0)
    topics.publish(0.0, NOW)
    assert set(watcher.topics()) == NAMES
    topics.publish(10.0, NOW)
    assert watcher.topics().keys() >= LOADS
    assert {kept.publish.topic_name for kept in broker.retained} == {
        f"$SYS/broker/{name}" for name in NAMES | LOADS
    }


def test_only_what_has_changed_is_written(broker: Broker, watcher: Watcher) -> None:
    topics = SysTopics(broker, 10, now=0.0)
    for now in (0.0, 10.0, 20.0, 30.0):  # until what it writes itself has settled
        topics.publish(now, NOW)
    watcher.topics()
    topics.publish(40.0, NOW)
    assert watcher.topics() == {"uptime": "40 seconds"}
    broker.stats.messages_received += 60
    topics.publish(50.0, NOW)
    changed = watcher.topics()
    assert changed["publish/messages/received"] == "60"
    assert "version" not in changed
    assert float(changed["load/publish/received/1min"]) > float(
        changed["load/publish/received/15min"]
    )


def test_a_load_comes_near_to_a_steady_rate_and_falls_again() -> None:
    load = Load()
    count = 0
    for _ in range(6 * 60):
        count += 100
        averages = load.update(count, 10.0)
    assert averages == {"1min": "600.00", "5min": "600.00", "15min": pytest.approx("589.01")}
    falling = load.update(count, 60.0)
    assert float(falling["1min"]) == pytest.approx(600 / 2.71828, abs=0.1)


async def test_the_most_clients_at_once_are_remembered(broker: Broker, watcher: Watcher) -> None:
    topics = SysTopics(broker, 10, now=0.0)
    for number in range(3):
        topics.connected(number)  # type: ignore[arg-type]
    for number in range(3):
        topics.disconnected(number, "lost")  # type: ignore[arg-type]
    topics.publish(0.0, NOW)
    assert watcher.topics()["clients/maximum"] == "3"


class Door(Authenticator):
    async def authenticate(self, offer: Offer) -> Grant:
        subscribe = ["#", "$SYS/#"] if offer.username == "operator" else ["#"]
        return Grant(offer.username or "anonymous", ["#"], subscribe)


@pytest.fixture
async def server(broker: Broker) -> AsyncIterator[Server]:
    server = Server(broker, Door(), ConnectionLimits())
    try:
        yield server
    finally:
        await server.close()


async def test_a_client_reads_them_and_cannot_write_them(broker: Broker, server: Server) -> None:
    port = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    topics = SysTopics(broker, 0.01)
    server.observers.append(topics)
    running = asyncio.create_task(topics.run())
    try:
        plain, operator = MQTTClient("plain"), MQTTClient("operator", username="operator")
        await plain.connect("127.0.0.1", port)
        await operator.connect("127.0.0.1", port)
        await plain.subscribe(Subscription("#", 1))
        with pytest.raises(SubscriptionRefusedError):
            await plain.subscribe(Subscription("$SYS/#"))
        with pytest.raises(MessageRefusedError) as refused:
            await plain.publish("$SYS/broker/version", b"mine", 1, retain=True)
        assert refused.value.reason_code == c.NOT_AUTHORIZED

        await operator.subscribe(Subscription("$SYS/broker/clients/connected"))
        await plain.publish("end", b"", 1)
        async with asyncio.timeout(WAIT_S):
            async for message in operator.messages():
                assert message.topic_name == "$SYS/broker/clients/connected"
                if message.payload == b"2":
                    break
            async for message in plain.messages():
                assert message.topic_name == "end"  # and nothing of $SYS came by `#`
                break
        await plain.publish("sizes", b"12345", 1)
        topics.publish(time.monotonic(), NOW)
        said = {kept.publish.topic_name: kept.publish.payload for kept in broker.retained}
        assert said["$SYS/broker/publish/bytes/received"] == b"9"  # mine, and 12345
        assert said["$SYS/broker/publish/messages/received"] == b"3"
        # Of plain: CONNECT, 2 × SUBSCRIBE, 3 × PUBLISH; of operator: CONNECT, SUBSCRIBE. What was
        # sent to plain with QoS 1 it acknowledges in its own time.
        assert int(said["$SYS/broker/messages/received"]) >= 8
        assert int(said["$SYS/broker/bytes/sent"]) > 0
        await plain.disconnect()
        await operator.disconnect()
    finally:
        running.cancel()


@pytest.mark.needs_mosquitto
async def test_mosquitto_sub_reads_them(broker: Broker, server: Server) -> None:
    port = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    topics = SysTopics(broker, 10, now=0.0)
    topics.publish(0.0, NOW)
    topics.publish(10.0, NOW)
    count = len(NAMES | LOADS)
    words = ["-h", "127.0.0.1", "-p", str(port), "-u", "operator", "-t", "$SYS/#", "-v"]
    reader = await asyncio.create_subprocess_exec(
        "mosquitto_sub", *words, "-C", str(count), "-W", "10", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await reader.communicate()
    shown = dict(line.removeprefix("$SYS/broker/").rsplit(" ", 1) for line in _lines(out))
    assert reader.returncode == 0
    assert shown.keys() >= {"clients/total", "retained messages/count", "load/connections/15min"}
    assert "$SYS/broker/uptime 10 seconds" in _lines(out)


def _lines(out: bytes) -> list[str]:
    return out.decode().splitlines()


def test_what_waits_and_what_is_retained_is_counted(broker: Broker, watcher: Watcher) -> None:
    session = Session("away", Grant("x", ["#"], ["#"]))
    session.expiry_interval = 60
    broker.sessions["away"] = session
    broker.tree.subscribe(session, Subscription("a", 1), 0)
    broker.publish_own(Publish("a", b"1234", 1, True), NOW)
    topics = SysTopics(broker, 10, now=0.0)
    topics.publish(0.0, NOW)
    said = watcher.topics()
    assert (said["clients/total"], said["clients/disconnected"]) == ("1", "1")
    assert (said["store/messages/count"], said["messages/stored"]) == ("2", "2")
    assert said["store/messages/bytes"] == "10"
    assert said["subscriptions/count"] == "1"


class KeepsRetained(NoJournal):
    """Notes which retained messages it is told of."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        self.topics.append(publish.topic_name)


def test_nothing_of_it_is_told_to_the_journal() -> None:
    journal = KeepsRetained()
    broker = Broker(Limits(), None, journal)
    broker.publish_own(Publish("a", b"1", 0, True), NOW)
    SysTopics(broker, 10, now=0.0).publish(0.0, NOW)
    assert len(broker.retained) > 10
    assert journal.topics == ["a"]
