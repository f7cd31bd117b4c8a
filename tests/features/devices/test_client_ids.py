"""Clients without credentials that are known by their client id."""

from dataclasses import replace

import pytest

from fleetwire.broker.grants import Grant
from fleetwire.errors import SettingsError
from fleetwire.features.devices.client_ids import ClientIds
from fleetwire.features.devices.presence import Presence
from fleetwire.kit import App
from fleetwire.net.clients import Client
from tests.fakes import client_of
from tests.features.rooms import Rooms

FORMS = ClientIds({"demo": "demo_{device_id}", "other": "other-{device_id}-x"})


@pytest.fixture
def presence(rooms: Rooms) -> Presence:
    return Presence(rooms.db, rooms.registry, rooms.log, rooms.clock, client_ids=FORMS)


def nobody(client_id: str) -> Client:
    return client_of(0, client_id=client_id)


@pytest.mark.parametrize(
    ("client_id", "device"),
    [
        ("demo_d", ("demo", "d")),
        ("demo_other-d-x", ("demo", "other-d-x")),
        ("other-d-x", ("other", "d")),
        ("demo_", None),
        ("other--x", None),
        ("other-x", None),
        ("mosquitto_demo_d", None),
        ("", None),
    ],
)
def test_a_client_id_names_a_device(client_id: str, device: tuple[str, str] | None) -> None:
    assert FORMS.device_of(client_id) == device


@pytest.mark.parametrize("form", ["", "tablet", "{device_id}{device_id}"])
def test_a_form_has_one_place_for_the_device(form: str) -> None:
    with pytest.raises(SettingsError, match="client_id"):
        App("demo", client_id=form)


async def test_a_client_without_credentials_is_the_device_that_it_names(
    rooms: Rooms, presence: Presence
) -> None:
    record = await rooms.register("d")
    client = nobody("demo_d")
    presence.connected(client)
    assert presence.is_connected(record.id)
    rooms.clock.advance(5)
    presence.disconnected(client, "disconnect")
    presence.disconnected(client, "disconnect")
    await presence.flush()
    assert not presence.is_connected(record.id)
    assert [(each.name, each.body["reason"]) for each in rooms.told] == [
        ("device.connected", "connect"),
        ("device.disconnected", "disconnect"),
    ]


async def test_who_enrols_with_its_first_message_counts_from_then_on(
    rooms: Rooms, presence: Presence
) -> None:
    client = nobody("demo_new")
    presence.connected(client)
    record = await rooms.register("new")
    assert not presence.is_connected(record.id)
    presence.seen([record.id], rooms.clock())
    assert presence.is_connected(record.id)
    presence.seen([record.id], rooms.clock())
    presence.disconnected(client, "will")
    await presence.flush()
    assert rooms.names == ["device.connected", "device.disconnected"]


async def test_who_left_before_it_enrolled_was_never_there(
    rooms: Rooms, presence: Presence
) -> None:
    gone, back = nobody("demo_new"), nobody("demo_new")
    presence.connected(gone)
    presence.connected(back)
    presence.disconnected(gone, "taken_over")
    record = await rooms.register("new")
    presence.disconnected(back, "disconnect")
    presence.seen([record.id], rooms.clock())
    await presence.flush()
    assert not presence.is_connected(record.id)
    assert rooms.names == []


async def test_a_name_alone_makes_nobody_with_credentials_another(
    rooms: Rooms, presence: Presence
) -> None:
    own, other = await rooms.register("own"), await rooms.register("other")
    presence.connected(client_of(own.id, client_id="demo_other"))
    service = replace(client_of(0, client_id="demo_other"), grant=Grant("key:3/x", [], []))
    presence.connected(service)
    assert presence.is_connected(own.id)
    assert not presence.is_connected(other.id)
