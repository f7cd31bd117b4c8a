"""The harness itself: what it shows is what a client would see."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Pingreq, Pingresp
from tests.spec.wire import House


@pytest.mark.over_the_wire
async def test_a_message_goes_from_one_client_to_another(house: House) -> None:
    subscriber = await house.client("subscriber")
    publisher = await house.client("publisher")
    assert await subscriber.subscribe("a/b", 1) == 1
    assert await publisher.publish("a/b", b"payload", 1) == 0
    (message,) = await subscriber.messages()
    assert (message.topic_name, message.payload, message.qos) == ("a/b", b"payload", 1)


@pytest.mark.over_the_wire
async def test_the_end_of_a_connection_is_seen(house: House) -> None:
    wire = await house.client()
    wire.send(Pingreq())
    assert isinstance(await wire.read(), Pingresp)
    wire.send_bytes("00 00")
    assert await wire.closed_with() == c.PROTOCOL_ERROR


async def test_time_passes_only_when_told(house: House) -> None:
    wire = await house.client(keep_alive=10)
    await house.advance(14.9)
    assert await wire.is_alive()
    await house.advance(15.1)
    assert await wire.closed_with() == c.KEEP_ALIVE_TIMEOUT
