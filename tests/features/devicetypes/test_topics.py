"""A type narrows which of its app's topics a device may use, and never widens that."""

import pytest

from fleetwire.broker.grants import Grant
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.service import DeviceTypeService
from fleetwire.kit import App, DeviceType
from fleetwire.net.authenticator import Offer
from tests.fakes import caller
from tests.features.rooms import Rooms

APP = App(
    "demo",
    publishes=[
        "d/{device_id}/data",
        "d/{device_id}/more/#",
        "by/{client_id}/x",
        "any/{part}/{device_id}",
    ],
    subscribes=["d/{device_id}/commands", "all/#"],
)


async def grant(rooms: Rooms, book: TypeBook) -> Grant:
    credential = await rooms.devices.issue_credential(caller(), "demo", "bp-1")
    door = DeviceAuthenticator(rooms.registry, {"demo": APP}, rooms.db, topics_of=book.topics_of)
    offer = Offer("c", "bp-1", credential.password.encode(), "", False)
    return await door.authenticate(offer)


@pytest.mark.parametrize(
    ("type", "publish", "subscribe"),
    [
        (
            DeviceType("meter"),
            ["d/bp-1/data", "d/bp-1/more/#", "by/c/x", "any/+/bp-1"],
            ["d/bp-1/commands", "all/#"],
        ),
        (
            DeviceType("meter", publishes=("d/{device_id}/data",)),
            ["d/bp-1/data"],
            ["d/bp-1/commands", "all/#"],
        ),
        (
            DeviceType(
                "meter",
                publishes=("d/{device_id}/more/a", "d/{device_id}/more/+/b", "any/x/{device_id}"),
                subscribes=("all/{device_id}",),
            ),
            ["d/bp-1/more/a", "d/bp-1/more/+/b", "any/x/bp-1"],
            ["all/bp-1"],
        ),
        (
            DeviceType(
                "meter",
                publishes=("d/{device_id}/#", "by/{device_id}/x", "d/+/data/{device_id}"),
                subscribes=("d/{device_id}/data",),
            ),
            [],
            [],
        ),
    ],
)
async def test_rights_are_those_of_the_app_that_the_type_names(
    rooms: Rooms,
    book: TypeBook,
    types: DeviceTypeService,
    type: DeviceType,
    publish: list[str],
    subscribe: list[str],
) -> None:
    await types.create(caller(), type)
    await rooms.devices.register(caller(), "demo", "bp-1", "meter")
    given = await grant(rooms, book)
    assert (list(given.publish), list(given.subscribe)) == (publish, subscribe)
