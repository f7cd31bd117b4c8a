"""Plain MQTT for people: what may be published, watched and read."""

from collections.abc import Callable
from typing import Any

import pytest

from fleetwire.broker.broker import Broker as Kernel
from fleetwire.broker.limits import Limits
from fleetwire.errors import DomainError, ForbiddenError, InvalidValueError, TooManyError
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.features.messages.keeping import Keeper
from fleetwire.features.messages.service import (
    IDLE_US,
    KEPT_BYTES,
    KEPT_MESSAGES,
    MAX_PAYLOAD_BYTES,
    MAX_WATCHES,
    BadTopicError,
    MessagesService,
)
from fleetwire.kit import App, Caller, Device, RecentMessage
from fleetwire.net.clients import Downlink
from fleetwire.protocol.topics import matches

PERMISSIONS = frozenset({"message.publish", "message.read"})
ALICE = Caller("account:1", 1, PERMISSIONS)
BOB = Caller("account:2", 1, PERMISSIONS)
EVE = Caller("account:3", 2, PERMISSIONS)

Seen = Callable[[str, bytes, int], None]


class Broker(Downlink):
    """A broker that hands on at once, to watchers only."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []
        self.watchers: list[tuple[str, Seen]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        self.sent.append((topic, payload, qos, retain))
        taken = [seen for topic_filter, seen in self.watchers if matches(topic_filter, topic)]
        for seen in taken:
            seen(topic, payload, qos)
        return len(taken)

    def watch(self, topic_filter: str, qos: int, seen: Seen) -> Callable[[], None]:
        entry = (topic_filter, seen)
        self.watchers.append(entry)
        return lambda: self.watchers.remove(entry)

    def send_to_device(
        self,
        device: int,
        topic: str,
        payload: bytes,
        *,
        expires_at: int = 0,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
    ) -> bool:
        return False

    def disconnect_device(self, device: int, reason: str) -> int:
        return 0

    def disconnect_credential(self, credential: int, reason: str) -> int:
        return 0

    def is_running(self) -> bool:
        return True


class Registry:
    """The registry's memory: bp-1 belongs to organisation 1, bp-2 to organisation 2."""

    def find(self, app: str, device_id: str) -> Device | None:
        organization_id = {"bp-1": 1, "bp-2": 2}.get(device_id)
        if app != "medical" or organization_id is None:
            return None
        return Device(organization_id, app, device_id, organization_id, "x", {})


class Clock:
    def __init__(self) -> None:
        self.at = 0

    def __call__(self) -> int:
        self.at += 1
        return self.at


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(broker: Broker, clock: Clock) -> MessagesService:
    app = App(
        "medical",
        publishes=["devices/{device_id}/data"],
        subscribes=["devices/{device_id}/commands"],
        command_topic="orders/{device_id}",
    )
    devices: Any = Registry()  # only `find` is asked
    owners = TopicOwners(devices, {"medical": app})
    return MessagesService(broker, owners, Keeper(Kernel(Limits())), clock=clock)


def payloads(messages: Any) -> list[bytes]:
    assert all(isinstance(message, RecentMessage) for message in messages)
    return [message.payload for message in messages]


async def test_a_message_is_published_as_it_was_given(
    service: MessagesService, broker: Broker
) -> None:
    first = await service.publish(ALICE, "room/1", b"hello", qos=1, retain=True)
    second = await service.publish(ALICE, "room/1", b"hello")
    assert broker.sent == [("room/1", b"hello", 1, True), ("room/1", b"hello", 0, False)]
    assert first != second


@pytest.mark.parametrize(
    "topic", ["", "a/+/b", "a/#", "a\0b", "x" * 65536, "/".join("a" * 33), "$SYS/a"]
)
async def test_a_topic_that_cannot_be_published_to_is_a_400(
    service: MessagesService, broker: Broker, topic: str
) -> None:
    with pytest.raises(BadTopicError) as caught:
        await service.publish(ALICE, topic, b"")
    assert (caught.value.status, caught.value.field) == (400, "topic")
    assert broker.sent == []


@pytest.mark.parametrize("topic", ["", "a#", "a/#/b", "$SYS/#", "$share/g/a"])
async def test_a_filter_that_cannot_be_watched_is_a_400(
    service: MessagesService, broker: Broker, topic: str
) -> None:
    with pytest.raises(BadTopicError):
        await service.watch(ALICE, topic)
    assert broker.watchers == []


async def test_qos_and_size_are_checked(service: MessagesService, broker: Broker) -> None:
    for qos in (-1, 3):
        with pytest.raises(InvalidValueError) as caught:
            await service.publish(ALICE, "a", b"", qos=qos)
        assert caught.value.field == "qos"
        with pytest.raises(InvalidValueError):
            await service.watch(ALICE, "a", qos=qos)
    with pytest.raises(InvalidValueError) as caught:
        await service.publish(ALICE, "a", bytes(MAX_PAYLOAD_BYTES + 1))
    assert caught.value.field == "payload"
    await service.publish(ALICE, "a", bytes(MAX_PAYLOAD_BYTES))
    assert len(broker.sent) == 1


async def test_each_call_needs_its_permission(service: MessagesService) -> None:
    nobody = Caller("account:9", 1, frozenset())
    with pytest.raises(ForbiddenError):
        await service.publish(nobody, "a", b"")
    with pytest.raises(ForbiddenError):
        await service.watch(nobody, "a")
    with pytest.raises(ForbiddenError):
        service.recent(nobody, "a", 10)


async def test_watched_messages_are_read_newest_first(
    service: MessagesService, broker: Broker
) -> None:
    await service.watch(ALICE, "room/+", qos=1)
    for number in range(3):
        broker.publish("room/1", b"%d" % number, qos=1)
    broker.publish("room/2", b"other")
    broker.publish("hall/1", b"unseen")
    assert payloads(service.recent(ALICE, "room/1", 2)) == [b"2", b"1"]
    assert payloads(service.recent(ALICE, "room/+", 50)) == [b"other", b"2", b"1", b"0"]
    (newest,) = service.recent(ALICE, "room/2", 1)
    assert (newest.topic, newest.qos, newest.received_at > 0) == ("room/2", 0, True)


async def test_what_is_not_watched_is_not_kept(service: MessagesService, broker: Broker) -> None:
    broker.publish("room/1", b"before")
    assert service.recent(ALICE, "room/1", 10) == []


async def test_overlapping_watches_do_not_double_a_message(
    service: MessagesService, broker: Broker
) -> None:
    for topic_filter in ("#", "room/+", "room/1"):
        await service.watch(ALICE, topic_filter)
    broker.publish("room/1", b"once")
    for asked in ("room/1", "room/+", "#"):
        assert payloads(service.recent(ALICE, asked, 10)) == [b"once"]


async def test_a_filter_gathers_what_narrower_watches_saw(
    service: MessagesService, broker: Broker
) -> None:
    await service.watch(ALICE, "room/1")
    await service.watch(ALICE, "room/2")
    broker.publish("room/1", b"a")
    broker.publish("room/2", b"b")
    assert payloads(service.recent(ALICE, "room/+", 10)) == [b"b", b"a"]


async def test_a_watch_is_its_owners(service: MessagesService, broker: Broker) -> None:
    await service.watch(ALICE, "room/1")
    broker.publish("room/1", b"a")
    assert service.recent(BOB, "room/1", 10) == []
    assert service.recent(EVE, "room/1", 10) == []


async def test_another_organisations_devices_are_neither_seen_nor_written_to(
    service: MessagesService, broker: Broker
) -> None:
    await service.watch(ALICE, "#")
    for topic in ("devices/bp-2/data", "devices/bp-2/commands", "orders/bp-2"):
        broker.publish(topic, b"theirs")
        with pytest.raises(ForbiddenError):
            await service.publish(ALICE, topic, b"mine")
    broker.publish("devices/bp-1/data", b"ours")
    broker.publish("devices/nobody/data", b"unknown")
    assert payloads(service.recent(ALICE, "#", 10)) == [b"unknown", b"ours"]
    await service.publish(EVE, "orders/bp-2", b"allowed")


async def test_memory_is_bounded_by_count_and_by_size(
    service: MessagesService, broker: Broker
) -> None:
    await service.watch(ALICE, "#")
    for number in range(KEPT_MESSAGES + 5):
        broker.publish("a", b"%d" % number)
    kept = payloads(service.recent(ALICE, "a", 1000))
    assert len(kept) == KEPT_MESSAGES
    assert kept[-1] == b"5"
    for _ in range(3):
        broker.publish("a", bytes(KEPT_BYTES // 2))
    assert len(service.recent(ALICE, "a", 1000)) == 2
    broker.publish("a", bytes(KEPT_BYTES * 2))
    assert len(service.recent(ALICE, "a", 1000)) == 1


async def test_the_same_filter_again_is_the_same_watch(
    service: MessagesService, broker: Broker
) -> None:
    assert await service.watch(ALICE, "a") == await service.watch(ALICE, "a")
    assert await service.watch(BOB, "a") != await service.watch(ALICE, "a")
    assert len(broker.watchers) == 2


async def test_an_organisation_has_so_many_watches_and_idle_ones_give_way(
    service: MessagesService, broker: Broker, clock: Clock
) -> None:
    for number in range(MAX_WATCHES):
        await service.watch(ALICE, f"a/{number}")
    with pytest.raises(TooManyError):
        await service.watch(BOB, "b")
    await service.watch(EVE, "b")
    clock.at += IDLE_US
    service.recent(ALICE, "a/7", 1)
    await service.watch(BOB, "b")
    assert {topic_filter for topic_filter, _ in broker.watchers} == {"a/7", "b"}


async def test_every_refusal_is_a_domain_error(service: MessagesService) -> None:
    with pytest.raises(DomainError):
        await service.watch(ALICE, "a/\ud800")
