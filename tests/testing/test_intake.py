"""Intake: messages of other protocols, taken as if they had come by MQTT."""

import pytest
from sqlalchemy.exc import OperationalError

from fleetwire.errors import (
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.kit import Caller, Devices, Intake
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

BREWED = "coffee/m1/brewed"


def intake_of(hub: TestHub) -> Intake:
    return hub.service(Intake)


async def test_a_message_is_stored_as_by_mqtt() -> None:
    async with TestHub(coffee()) as hub:
        await hub.device("m1")
        outcome = await intake_of(hub).receive(hub.caller, BREWED, b'{"cups": 2}')
        assert outcome.is_stored
        event = await hub.event("coffee.brewed")
        assert (event.topic, event.body["cups"]) == (BREWED, 2)
        stored = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        assert stored.reported == {"cups": 2}


async def test_a_refusal_names_the_field_and_is_in_quarantine() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        outcome = await machine.send("coffee/{device_id}/brewed", {"cups": -1})
        assert not outcome.is_stored
        assert (outcome.reason, outcome.field) == ("cups must not be negative", "cups")
        assert outcome.reason_code == 0x99
        kept = (await hub.service(QuarantineService).list(hub.caller)).items
        assert [(each.topic, each.reason) for each in kept] == [(BREWED, outcome.reason)]


async def test_a_payload_that_does_not_fit_is_refused_with_its_reason() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        outcome = await machine.send("coffee/{device_id}/brewed", b"{")
        assert not outcome.is_stored
        assert "not JSON" in outcome.reason


async def test_a_device_publishes_what_its_credential_may_and_nothing_else() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        await hub.device("m2")
        outcome = await machine.send("coffee/m2/brewed", {"cups": 1})
        assert not outcome.is_stored
        assert outcome.reason == "device:coffee/m1 may not publish to this topic"
        kept = (await hub.service(QuarantineService).list(hub.caller)).items
        assert [each.identity for each in kept] == ["device:coffee/m1"]


async def test_a_person_needs_the_permission_and_a_device_of_his_own() -> None:
    async with TestHub(coffee()) as hub:
        await hub.device("m1")
        intake = intake_of(hub)
        viewer = Caller("account:9", hub.caller.organization_id, frozenset({"device.read"}))
        with pytest.raises(ForbiddenError):
            await intake.receive(viewer, BREWED, b"{}")
        with pytest.raises(NotFoundError):
            await intake.receive(Caller.system(999), BREWED, b"{}")


async def test_a_topic_without_a_handler_is_the_callers_mistake() -> None:
    async with TestHub(coffee()) as hub:
        for topic in ("coffee/m1/nowhere", "coffee/+/brewed", "", "a\0b"):
            with pytest.raises(InvalidValueError) as raised:
                await intake_of(hub).receive(hub.caller, topic, b"{}")
            assert raised.value.field == "topic"


async def test_a_device_that_was_removed_is_not_found() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        await hub.service(Devices).delete(hub.caller, "coffee", "m1")
        with pytest.raises(NotFoundError):
            await machine.send(BREWED, {"cups": 1})


async def test_a_message_whose_end_is_not_known_in_time_may_still_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1", is_connected=False)
        monkeypatch.setattr(hub.house.intake, "_wait_s", 0.01)
        with monkeypatch.context() as patch:
            patch.setattr(hub.house.database, "_before_commit", fail)
            with pytest.raises(StoreUnavailableError, match="may still be"):
                await machine.send(BREWED, {"cups": 5})
        await hub.event("coffee.brewed")  # the road tries again until it is stored


async def test_a_full_road_asks_senders_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        monkeypatch.setattr(hub.house.intake, "_waiting_most", 0)
        with pytest.raises(TooManyError):
            await machine.send(BREWED, {"cups": 1})


async def test_a_house_that_is_being_closed_takes_nothing() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        hub.house.source.close()
        with pytest.raises(StoreUnavailableError):
            await machine.send(BREWED, {"cups": 1})
