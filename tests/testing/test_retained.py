"""Retained messages of the house: what a device is to be set to."""

from pathlib import Path

import pytest

from fleetwire.errors import ForbiddenError, TooManyError
from fleetwire.kit import Caller, Messages
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

TOPIC = "coffee/m1/settings"


async def test_a_retained_setting_is_there_after_a_kill(tmp_path: Path) -> None:
    app = coffee(subscribes=["coffee/{device_id}/settings"])
    async with TestHub(app, folder=tmp_path) as hub:
        await hub.device("m1", is_connected=False)
        await hub.service(Messages).retain(hub.caller, TOPIC, b'{"grind": 3}')
        rows = await hub.house.database.read(
            lambda c: c.exec_driver_sql("SELECT topic, payload FROM mqtt_retained").all()
        )
        assert [tuple(row) for row in rows] == [(TOPIC, b'{"grind": 3}')]
    async with TestHub(app, folder=tmp_path) as hub:
        machine = await hub.device("m1")
        received = await machine.next_message()
        assert (received.json(), received.retain) == ({"grind": 3}, True)


async def test_the_newest_setting_takes_the_place_of_others_and_none_ends_it() -> None:
    app = coffee(subscribes=["coffee/{device_id}/settings"])
    async with TestHub(app) as hub:
        machine = await hub.device("m1", is_connected=False)
        messages = hub.service(Messages)
        for grind in (b'{"grind": 3}', b'{"grind": 4}'):
            await messages.retain(hub.caller, TOPIC, grind)
        await machine.connect()
        assert (await machine.next_message()).json() == {"grind": 4}
        await messages.retain(hub.caller, TOPIC, b"")
        assert hub.house.broker.retained.get(TOPIC) is None


async def test_another_organisations_device_is_not_set() -> None:
    async with TestHub(coffee(subscribes=["coffee/{device_id}/settings"])) as hub:
        await hub.device("m1")
        with pytest.raises(ForbiddenError):
            await hub.service(Messages).retain(Caller.system(999), TOPIC, b"{}")


async def test_where_there_is_no_room_it_is_said() -> None:
    environment = {"FLEETWIRE_BROKER_RETAINED_MESSAGES": "1"}
    async with TestHub(coffee(), environment=environment) as hub:
        messages = hub.service(Messages)
        await messages.retain(hub.caller, "a", b"1")
        with pytest.raises(TooManyError):
            await messages.retain(hub.caller, "b", b"1")
