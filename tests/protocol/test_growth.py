"""What somebody unknown can make the server do grows no faster than what he sends.

Counted are the lines of our code that run and the bytes that are cut out of what came, not time.
Three times the input may lead to three times the work, and a little that does not depend on it.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.broker.subscriptions import SubscriptionTree
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode, encode_connect
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import Connect, Packet, Publish, Subscribe, Subscription
from fleetwire.protocol.topics import check_topic_filter, check_topic_name, covers, matches

SMALL = 300
LARGE = 3 * SMALL


class Chunk(bytes):
    """Bytes that count how many of them are cut out."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        cut = super().__getitem__(key)
        self.copied += len(cut) if isinstance(cut, bytes) else 1
        return cut


def lines(work: Callable[[], object]) -> int:
    """Return how many lines of Fleetwire run while this is done, or refused."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
        return trace if "fleetwire" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except ProtocolError:
        pass
    finally:
        sys.settrace(before)
    return count


def grows_at_most_linearly(work: Callable[[int], int]) -> bool:
    small, large = work(SMALL), work(LARGE)
    assert small > 0
    return large <= 3 * small + 50


def connect_with(size: int, kind: str) -> bytes:
    users = [(f"name{n:04}", "value") for n in range(size)]
    properties: dict[int, Any] | None = None
    will: Publish | None = None
    if kind == "user properties":
        properties = {c.USER_PROPERTY: users}
    elif kind == "user properties of a Will":
        will = Publish("gone", b"", properties={c.USER_PROPERTY: users})
    elif kind == "levels of a Will's topic":
        will = Publish("/".join(["a"] * size), b"")
    elif kind == "a long password":
        return encode_connect(Connect(5, "c", True, 60, "u", bytes(size * 20), None, None))
    return encode_connect(Connect(5, "c" * size, True, 60, None, None, will, properties))


KINDS = (
    "user properties",
    "user properties of a Will",
    "levels of a Will's topic",
    "a long password",
    "a long client id",
)


@pytest.mark.parametrize("kind", KINDS)
def test_connect_costs_what_it_weighs(kind: str) -> None:
    def work(size: int) -> int:
        chunk = Chunk(connect_with(size, kind))
        ran = lines(lambda: Decoder(1 << 20).feed(chunk))
        return ran + chunk.copied

    assert grows_at_most_linearly(work)


@pytest.mark.parametrize("kind", KINDS)
def test_connect_in_single_bytes_costs_what_it_weighs(kind: str) -> None:
    def work(size: int) -> int:
        data = connect_with(size, kind)
        decoder = Decoder(1 << 20)
        packets: list[Packet] = []

        def feed() -> None:
            for index in range(len(data)):
                packets.extend(decoder.feed(data[index : index + 1]))

        ran = lines(feed)
        assert len(packets) == 1
        return ran

    assert grows_at_most_linearly(work)


@pytest.mark.parametrize("size", [10, 3000])
def test_a_packet_that_dribbles_in_is_put_together_once(size: int) -> None:
    """Its length is looked at while that is incomplete, and then when all of it is there."""
    data = connect_with(size, "a long client id")
    decoder = Decoder(1 << 20)
    looks = 0

    def count(frame: FrameType, event: str, _arg: object) -> None:
        nonlocal looks
        looks += event == "call" and frame.f_code.co_name == "_check_incomplete"

    sys.setprofile(count)
    try:
        for index in range(len(data)):
            decoder.feed(data[index : index + 1])
    finally:
        sys.setprofile(None)
    assert decoder.version == 5
    assert looks <= 5


def test_subscribe_costs_what_it_weighs() -> None:
    def work(size: int) -> int:
        decoder = Decoder(1 << 20, version=5)
        packet = Subscribe(1, [Subscription(f"a/+/{n:04}", 1) for n in range(size)])
        chunk = Chunk(encode(packet, 5))
        return lines(lambda: decoder.feed(chunk)) + chunk.copied

    assert grows_at_most_linearly(work)


LEVELS: dict[str, Callable[[int], str]] = {
    "many levels": lambda size: "/".join(["a"] * size),
    "empty levels": lambda size: "/" * size,
    "many wildcards": lambda size: "/".join(["+"] * size),
    "a long level": lambda size: "a" * size,
    "a bad wildcard at the end": lambda size: "a/" * size + "a#",
    "many bad wildcards": lambda size: "#/" * size,
}


@pytest.mark.parametrize("kind", LEVELS)
def test_topics_cost_what_they_weigh(kind: str) -> None:
    def work(size: int) -> int:
        topic = LEVELS[kind](size)
        name = "/".join(["a"] * size)
        grant = Grant("device:d", [topic], [topic])
        return sum(
            lines(one)
            for one in (
                lambda: check_topic_name(topic),
                lambda: check_topic_filter(topic),
                lambda: check_topic_filter(f"$share/g/{topic}"),
                lambda: matches(topic, name),
                lambda: covers(topic, name),
                lambda: covers(name, topic),
                lambda: grant.may_publish(name),
                lambda: grant.may_subscribe(name),
            )
        )

    assert grows_at_most_linearly(work)


def test_finding_who_takes_a_topic_costs_by_its_levels_and_by_who_could_take_it() -> None:
    """The worst case: of two branches at every level, `+` and the name, both lead on to nobody."""

    def work(size: int) -> int:
        tree = SubscriptionTree()
        session = Session("c", Grant("device:d", [], []))
        levels = 12
        for number in range(size):
            path = [("+" if number >> bit & 1 else "a") for bit in range(levels)]
            tree.subscribe(session, Subscription("/".join([*path, "end"]), 0), 0)
        name = "/".join(["a"] * levels + ["other"])
        return lines(lambda: tree.find(name))

    assert grows_at_most_linearly(work)
