"""paho-mqtt with what MQTT 5.0 added: properties, Shared Subscriptions, reason codes."""

import queue
import uuid
from collections import Counter
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.house import House
from tests.interop.paho_client import WAIT_S, PahoClient, connected

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
NO_MATCHING_SUBSCRIBERS = 0x10


@pytest.fixture
def port(shared_house: House) -> int:
    return shared_house.mqtt_port


@pytest.fixture
def name() -> str:
    """A client id that no other test uses."""
    return uuid.uuid4().hex[:16]


def properties(packet: int, **values: Any) -> Properties:
    """Return the properties of a packet by paho's names."""
    made = Properties(packet)  # type: ignore[no-untyped-call]  # paho
    for key, value in values.items():
        setattr(made, key, value)
    return made


def publish(client: PahoClient, topic: str, payload: bytes, **values: Any) -> None:
    """Publish with QoS 1 and properties; wait until the server has taken it over."""
    sent = client.paho.publish(
        topic, payload, 1, properties=properties(PacketTypes.PUBLISH, **values)
    )
    sent.wait_for_publish(WAIT_S)
    assert sent.is_published()


def test_every_property_of_a_message_arrives_as_it_was_sent(port: int, name: str) -> None:
    with connected(port, V5, name + "s") as subscriber, connected(port, V5, name + "p") as sender:
        subscriber.subscribe(f"{name}/t", 1)
        publish(
            sender,
            f"{name}/t",
            "ŝ".encode(),
            PayloadFormatIndicator=1,
            MessageExpiryInterval=3600,
            ContentType="text/plain",
            ResponseTopic=f"{name}/answer",
            CorrelationData=bytes(range(256)),
            UserProperty=[("b", "1"), ("a", "2"), ("b", "3")],
        )
        found = subscriber.receive().properties
        assert found is not None
        assert (found.PayloadFormatIndicator, found.ContentType) == (1, "text/plain")
        assert 3590 <= found.MessageExpiryInterval <= 3600
        assert found.ResponseTopic == f"{name}/answer"
        assert found.CorrelationData == bytes(range(256))
        assert found.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")]


def test_a_request_finds_its_way_back(port: int, name: str) -> None:
    with connected(port, V5, name + "c") as asking, connected(port, V5, name + "s") as answering:
        answering.subscribe(f"{name}/ask", 1)
        asking.subscribe(f"{name}/answer/me", 1)
        publish(
            asking, f"{name}/ask", b"?", ResponseTopic=f"{name}/answer/me", CorrelationData=b"7"
        )
        asked = answering.receive().properties
        assert asked is not None
        publish(answering, asked.ResponseTopic, b"!", CorrelationData=asked.CorrelationData)
        answer = asking.receive()
        assert answer.properties is not None
        assert (answer.payload, answer.properties.CorrelationData) == (b"!", b"7")


def test_subscription_identifiers_say_by_which_subscriptions_a_message_came(
    port: int, name: str
) -> None:
    with connected(port, V5, name) as client:
        for topic_filter, identifier in ((f"{name}/#", 1), (f"{name}/+", 268_435_455)):
            client.paho.subscribe(
                topic_filter,
                options=SubscribeOptions(qos=1),
                properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier),
            )
            client.wait_until_subscribed()
        client.publish(f"{name}/a", b"x", 1)
        client.publish(f"{name}/a/b", b"y", 1)
        both, one = client.receive().properties, client.receive().properties
        assert both is not None
        assert one is not None
        assert sorted(both.SubscriptionIdentifier) == [1, 268_435_455]
        assert one.SubscriptionIdentifier == [1]


def test_no_local_and_retain_as_published_are_kept(port: int, name: str) -> None:
    with connected(port, V5, name + "a") as first, connected(port, V5, name + "b") as second:
        first.paho.subscribe(f"{name}/t", options=SubscribeOptions(qos=1, noLocal=True))
        first.wait_until_subscribed()
        second.paho.subscribe(f"{name}/t", options=SubscribeOptions(qos=1, retainAsPublished=True))
        second.wait_until_subscribed()
        first.publish(f"{name}/t", b"x", 1, retain=True)
        assert second.receive().retain
        assert first.receives_nothing()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_shared_subscription_gives_each_message_to_one_member(
    port: int, name: str, qos: int
) -> None:
    with (
        connected(port, V5, name + "1") as first,
        connected(port, V5, name + "2") as second,
        connected(port, V311, name + "3") as third,  # the filter is all it takes
        connected(port, V5, name + "p") as sender,
    ):
        seen: queue.Queue[tuple[str, int]] = queue.Queue()
        for member in (first, second, third):
            member.paho.on_message = lambda client, _u, message: seen.put(
                (client._client_id, int(message.payload))
            )
            member.subscribe(f"$share/{name}/{name}/t", qos)
        for number in range(60):
            sender.publish(f"{name}/t", b"%d" % number, qos)
        received = [seen.get(timeout=WAIT_S) for _ in range(60)]
        assert sorted(number for _, number in received) == list(range(60))
        assert seen.empty()
        assert len(Counter(client_id for client_id, _ in received)) == 3  # nobody is left out


def test_another_member_gets_what_one_that_has_gone_did_not_acknowledge(
    port: int, name: str
) -> None:
    with connected(port, V5, name + "p") as sender:
        holding = PahoClient(V5, name + "1")
        holding.paho.manual_ack_set(True)
        holding.connect(port)
        holding.subscribe(f"$share/{name}/{name}/t", 1)
        sender.publish(f"{name}/t", b"x", 1)
        assert holding.receive().payload == b"x"  # and acknowledges nothing
        with connected(port, V5, name + "2") as other:
            other.subscribe(f"$share/{name}/{name}/t", 1)
            holding.lose_connection()
            assert other.receive().payload == b"x"


def test_puback_says_that_nobody_listens(port: int, name: str) -> None:
    with connected(port, V5, name) as client:
        codes: queue.Queue[int] = queue.Queue()
        client.paho.on_publish = lambda _c, _u, _m, reason, _p: codes.put(reason.value)
        client.publish(f"{name}/nobody", b"x", 1)
        assert codes.get(timeout=WAIT_S) == NO_MATCHING_SUBSCRIBERS
        client.subscribe(f"{name}/somebody", 1)
        client.publish(f"{name}/somebody", b"x", 1)
        assert codes.get(timeout=WAIT_S) == 0


def test_aliases_from_the_client_stand_for_its_topics(port: int, name: str) -> None:
    with connected(port, V5, name + "s") as subscriber, connected(port, V5, name + "p") as sender:
        subscriber.subscribe(f"{name}/#", 1)
        publish(sender, f"{name}/long/topic", b"1", TopicAlias=1)
        publish(sender, "", b"2", TopicAlias=1)
        publish(sender, f"{name}/other", b"3", TopicAlias=1)
        publish(sender, "", b"4", TopicAlias=1)
        received = [subscriber.receive() for _ in range(4)]
        assert [(message.topic, message.payload) for message in received] == [
            (f"{name}/long/topic", b"1"),
            (f"{name}/long/topic", b"2"),
            (f"{name}/other", b"3"),
            (f"{name}/other", b"4"),
        ]
