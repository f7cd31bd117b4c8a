"""Devices that enrol themselves: where a setting says so, by a message or a certificate."""

import pytest

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.provisioning.self_enrolment import SelfEnrolment
from fleetwire.net.authenticator import ClientCertificate, Offer, RefusedError
from fleetwire.protocol.packets import Publish
from tests.fakes import caller
from tests.features.provisioning.conftest import Entrance

PRINT = "ab" * 32
ENDS_AT = 4_000_000_000_000_000


def delivery(grant: Grant | None = None, *, topic: str = "devices/d/data") -> Delivery:
    grant = grant or Grant("anonymous", ["#"], ["#"], anonymous=True)
    return Delivery(Publish(topic, b"{}", 1), Session("c", grant), 1_000_000, None)


async def enrol(itself: SelfEnrolment, *device_ids: str, app: str = "demo") -> None:
    wanted = {(app, device_id): delivery() for device_id in device_ids}
    await itself.enrol(wanted)


async def test_an_unknown_device_is_registered_told_of_and_on_record(entrance: Entrance) -> None:
    assert entrance.itself.objection("demo", "d", delivery()) is None
    await enrol(entrance.itself, "d")
    device = entrance.newcomers.find("demo", "d")
    assert device is not None
    assert (device.organization_id, device.type) == (1, "unknown")
    await entrance.rooms.heard("device.enrolled")
    assert entrance.rooms.told[0].body["way"] == "message"
    assert await entrance.deeds() == [("anonymous", "device.enrolled", "device:demo/d")]
    (request,) = (await entrance.approvals.list(caller())).items
    assert (request.way, request.state) == ("message", "enrolled")
    assert request.facts == {"client_id": "c", "topic": "devices/d/data"}


@pytest.mark.parametrize(
    ("policy", "grant", "is_let_in"),
    [
        ("quarantine", Grant("anonymous", [], [], anonymous=True), False),
        ("enrol_anonymous", Grant("anonymous", [], [], anonymous=True), True),
        ("enrol_anonymous", Grant("key:1/gateway", [], [], organization_id=2), False),
        ("enrol", Grant("key:1/gateway", [], [], organization_id=2), True),
        ("enrol", Grant("device:demo/x", [], [], organization_id=1, device=7), False),
    ],
)
async def test_the_setting_and_the_sender_say_who_enrols(
    entrance: Entrance, policy: str, grant: Grant, is_let_in: bool
) -> None:
    entrance.policies["demo"] = policy
    objection = entrance.itself.objection("demo", "d", delivery(grant))
    assert objection == (None if is_let_in else "")


async def test_a_device_belongs_to_its_senders_organisation(entrance: Entrance) -> None:
    gateway = Grant("key:1/gateway", [], [], organization_id=2)
    await entrance.itself.enrol({("demo", "d"): delivery(gateway)})
    device = entrance.newcomers.find("demo", "d")
    assert device is not None
    assert device.organization_id == 2


@pytest.mark.parametrize("device_id", ["$d", "a{b", "x" * 129, "a\nb"])
async def test_a_name_that_no_device_may_have_is_refused_by_it(
    entrance: Entrance, device_id: str
) -> None:
    objection = entrance.itself.objection("demo", device_id, delivery())
    assert objection is not None
    assert "device_id must" in objection or "must not contain" in objection


async def test_a_minute_lets_in_so_many_and_the_next_one_more(entrance: Entrance) -> None:
    itself = entrance.make_itself(per_minute=2)
    await enrol(itself, "a", "b", "c")
    assert len(entrance.rooms.registry) == 2
    assert "more than 2 devices a minute" in str(itself.objection("demo", "c", delivery()))
    entrance.seconds.now += 30
    assert itself.objection("demo", "c", delivery()) is None
    await enrol(itself, "c")
    assert len(entrance.rooms.registry) == 3


async def test_in_all_so_many_enrol_also_over_a_restart_and_a_removed_one_makes_room(
    entrance: Entrance,
) -> None:
    await enrol(entrance.itself, "a", "b")
    itself = entrance.make_itself(most=2)
    await itself.load()
    assert "2 devices have enrolled" in str(itself.objection("demo", "c", delivery()))
    await entrance.rooms.devices.delete(caller(), "demo", "a")
    assert itself.objection("demo", "c", delivery()) is None


async def test_a_batch_is_not_let_past_the_bound_in_all(entrance: Entrance) -> None:
    await enrol(entrance.make_itself(most=2), "a", "b", "c")
    assert len(entrance.rooms.registry) == 2


async def test_one_that_is_there_meanwhile_keeps_no_other_out(entrance: Entrance) -> None:
    await entrance.rooms.register("a", by=caller(2))
    await enrol(entrance.itself, "a", "b")
    assert entrance.rooms.device("a").organization_id == 2
    assert entrance.rooms.device("b").organization_id == 1


async def test_while_the_database_is_away_nobody_is_and_it_says_so(entrance: Entrance) -> None:
    entrance.rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await enrol(entrance.itself, "a", "b")
    assert len(entrance.rooms.registry) == 0
    entrance.rooms.db.is_away = False
    await enrol(entrance.itself, "a", "b")
    assert len(entrance.rooms.registry) == 2


# --- certificates ---


def offer(common_name: str, *, username: str | None = None, fingerprint: str = PRINT) -> Offer:
    shown = ClientCertificate(common_name, f"CN={common_name}", fingerprint, "01", ENDS_AT)
    return Offer("c", username, None, "10.0.0.1:5", False, shown)


def door_of(entrance: Entrance, tls_identity: str = "common_name") -> DeviceAuthenticator:
    rooms = entrance.rooms
    door = DeviceAuthenticator(
        rooms.registry, rooms.apps, rooms.db, rooms.clock, tls_identity=tls_identity
    )
    door.enrol = entrance.itself.admit
    return door


async def test_a_trusted_certificate_of_an_unknown_device_enrols_it(entrance: Entrance) -> None:
    door = door_of(entrance)
    grant = await door.authenticate(offer("d"))
    device = entrance.rooms.device("d")
    assert (grant.device, grant.app, grant.expires_at) == (device.id, "demo", ENDS_AT)
    (credential,) = await entrance.rooms.devices.credentials(caller(), "demo", "d")
    assert (credential.kind, credential.fingerprint) == ("certificate", PRINT)
    assert grant.credential == credential.id
    assert (await entrance.deeds())[0] == ("certificate:d", "device.enrolled", "device:demo/d")
    again = await door.authenticate(offer("d"))
    assert again.device == device.id
    await entrance.rooms.devices.revoke_credential(caller(), "demo", "d", credential.id)
    with pytest.raises(RefusedError, match="revoked"):
        await door.authenticate(offer("d"))


async def test_without_the_setting_or_with_another_identity_it_is_nobody(
    entrance: Entrance,
) -> None:
    unset = door_of(entrance)
    unset.enrol = None
    for door in (unset, door_of(entrance, "fingerprint")):
        with pytest.raises(RefusedError, match="no device's"):
            await door.authenticate(offer("d"))
    with pytest.raises(RefusedError, match="no device's"):
        await door_of(entrance).authenticate(offer("d", username="e"))
    assert len(entrance.rooms.registry) == 0


async def test_a_certificate_whose_name_no_device_may_have_is_refused(entrance: Entrance) -> None:
    for name in ("a/b", "#", "$x"):
        with pytest.raises(RefusedError, match="enrols no device"):
            await door_of(entrance).authenticate(offer(name))
    with pytest.raises(RefusedError, match="no device's"):
        await door_of(entrance).authenticate(offer(""))
