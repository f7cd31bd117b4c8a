"""Streams of events that apps open for the house itself."""

import asyncio
from contextlib import aclosing

import pytest

from fleetwire.errors import UnauthenticatedError
from fleetwire.kit import Caller, Realtime
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

BREWED = "coffee/{device_id}/brewed"


async def test_the_houses_own_stream_goes_on_when_somebodys_rights_change() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        realtime = hub.service(Realtime)

        def matches(event: object) -> bool:
            return getattr(event, "name", "") == "coffee.brewed"

        person = Caller("account:9", hub.caller.organization_id, hub.caller.permissions)
        own = realtime.stream(hub.caller, app="coffee", matches=matches)
        his = realtime.stream(person, app="coffee", matches=matches)
        async with aclosing(own), aclosing(his), asyncio.timeout(5):
            assert (await anext(own), await anext(his)) == ([], [])
            hub.house.realtime.recheck()
            await machine.send(BREWED, {"cups": 1})
            assert [event.body["cups"] for event in await anext(own)] == [1]
            with pytest.raises(UnauthenticatedError):
                await anext(his)


async def test_a_stream_is_of_one_organisation() -> None:
    async with TestHub(coffee()) as hub:
        machine = await hub.device("m1")
        others = hub.service(Realtime).stream(
            Caller.system(999), app="coffee", matches=lambda event: True
        )
        async with aclosing(others):
            await anext(others)
            await machine.send(BREWED, {"cups": 1})
            await hub.event("coffee.brewed")
            waiting = asyncio.ensure_future(anext(others))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait({waiting})
