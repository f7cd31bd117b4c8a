"""A device's token in a payload, its attributes in topics, and the value of a Result."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fleetwire.errors import TooManyError, UnauthenticatedError
from fleetwire.kit import App, Device, Devices, Event, Machines, Raw, Result
from fleetwire.testing import TestHub

TOPIC = "teas/{device_id}/poured"


def tea() -> App:
    app = App(
        "tea",
        publishes=[TOPIC, "rooms/{room}/{device_id}/poured"],
        subscribes=["rooms/{room}/news"],
        token_fields=("token",),
        topic_attributes=("room",),
    )

    @app.subscribe(TOPIC)
    def poured(device: Device, payload: Raw) -> Result[str]:
        said = bytes(payload).decode()
        return Result(said, Event("tea.poured", device, {"said": said}))

    @app.subscribe("rooms/{room}/{device_id}/poured")
    def poured_in_room(device: Device, room: str, body: dict[str, Any]) -> None:
        return None

    @app.subscribe("teas/{device_id}/orders")
    def ordered(device: Device, body: dict[str, Any]) -> None:
        return None

    return app


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with TestHub(tea(), folder=tmp_path) as hub:
        yield hub


async def test_a_sender_by_intake_is_answered_the_handler_s_value(hub: TestHub) -> None:
    pot = await hub.device("pot")
    outcome = await pot.send(TOPIC, b"green")
    assert (outcome.is_stored, outcome.value) == (True, "green")
    assert (await hub.event("tea.poured")).body == {"said": "green"}


async def test_a_right_token_lets_a_message_pass_and_is_taken_out(hub: TestHub) -> None:
    pot = await hub.device("pot")
    gateway = await hub.device("gateway")
    body = {"a": 1, "token": pot.credential.password, "list": [{"token": pot.credential.password}]}
    outcome = await gateway.send("teas/pot/poured", body)
    assert outcome.value == '{"a":1,"list":[{}]}'


async def test_a_wrong_token_refuses_a_message_of_whomever(hub: TestHub) -> None:
    pot = await hub.device("pot")
    gateway = await hub.device("gateway")
    for sender, token in ((pot, "wrong"), (pot, gateway.credential.password), (gateway, 5)):
        outcome = await sender.send("teas/pot/poured", {"token": token})
        assert (outcome.is_stored, outcome.reason_code) == (False, 0x87)
    assert (await pot.send("teas/pot/poured", {"token": None})).is_stored  # none is said


async def test_a_token_is_proof_for_what_its_device_may_publish_alone(hub: TestHub) -> None:
    pot = await hub.device("pot")
    gateway = await hub.device("gateway")
    outcome = await gateway.send("teas/pot/orders", {"token": pot.credential.password})
    assert (outcome.is_stored, outcome.reason_code) == (False, 0x87)


async def test_a_device_is_granted_its_own_attribute_in_topics(hub: TestHub) -> None:
    kitchen = await hub.device("pot", attributes={"room": "kitchen"})
    assert (await kitchen.send("rooms/kitchen/pot/poured", {})).is_stored
    assert not (await kitchen.send("rooms/hall/pot/poured", {})).is_stored
    for id, room in (("none", None), ("plus", "+"), ("deep", "a/b"), ("empty", "")):
        attributes = {} if room is None else {"room": room}
        other = await hub.device(id, attributes=attributes, is_connected=False)
        assert not (await other.send(f"rooms/kitchen/{id}/poured", {})).is_stored


async def test_the_holder_of_a_token_is_known_by_it_until_it_is_revoked(hub: TestHub) -> None:
    machines = hub.service(Machines)
    pot = await hub.device("pot")
    caller = machines.holder("tea", pot.credential.password, "here")
    assert (caller.app, caller.device_id) == ("tea", "pot")
    with pytest.raises(UnauthenticatedError):
        machines.holder("coffee", pot.credential.password, "here")
    devices = hub.service(Devices)
    await devices.revoke_credential(hub.caller, "tea", "pot", pot.credential.id)
    with pytest.raises(UnauthenticatedError):
        machines.holder("tea", pot.credential.password, "here")


async def test_who_guesses_tokens_is_slowed_down_and_who_has_one_is_not(hub: TestHub) -> None:
    machines = hub.service(Machines)
    pot = await hub.device("pot")

    def guess() -> bool:
        """Say whether the guess was looked at."""
        try:
            machines.holder("tea", "a guess", "there")
        except UnauthenticatedError:
            return True
        except TooManyError:
            return False
        raise AssertionError("nobody's token was taken")

    looked_at = [guess() for _ in range(1000)]
    assert looked_at[0]
    assert not looked_at[-1]
    assert machines.holder("tea", pot.credential.password, "there").device_id == "pot"
