"""Who is there and who is not, on a whole house without sockets."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fleetwire.apps.tablets import configure, presence
from fleetwire.kit import Devices, LiveEvent, Store
from fleetwire.testing import TestHub

STATUS = {"battery": 61, "wifiStatus": True}
STATUS_TOPIC = "tablet/{device_id}/status"
SECOND = 1_000_000


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub() -> AsyncIterator[TestHub]:
    async with TestHub(configure({})) as hub:
        yield hub


def told(hub: TestHub, code: str) -> list[tuple[str, str]]:
    """Return (status, reason) of each push of a tablet."""
    return [
        (each.body["status"], each.body["reason"])
        for each in hub.events
        if each.name == "device.status" and each.device.device_id == code
    ]


async def test_silence_is_offline_once_and_a_message_ends_it(hub: TestHub) -> None:
    """«Online/offline follows the MQTT session, the Will and the age of the last message»"""
    tablet = await hub.device("quiet", is_connected=False)
    await tablet.send(STATUS_TOPIC, STATUS)
    await hub.advance(89)
    assert told(hub, tablet.device_id) == [("ONLINE", "status")]
    await hub.advance(60)
    assert told(hub, tablet.device_id) == [("ONLINE", "status"), ("OFFLINE", "silent")]
    pushes = [each for each in hub.events if each.device is tablet.device]
    assert pushes[-1].body["battery"] == 61
    await tablet.send("tablet/{device_id}/metrics", {"cpu": 1})
    assert told(hub, tablet.device_id)[2:] == [("ONLINE", "message")]


async def test_a_session_that_ends_is_offline_with_its_reason(hub: TestHub) -> None:
    tablet = await hub.device("leaving")
    await tablet.send(STATUS_TOPIC, STATUS)
    hub.clock.at += SECOND
    tablet.disconnect("keep_alive")
    await hub.settle()
    assert told(hub, tablet.device_id) == [("ONLINE", "status"), ("OFFLINE", "keep_alive")]
    hub.clock.at += SECOND
    await tablet.connect()
    await hub.settle()
    assert told(hub, tablet.device_id)[2:] == [("ONLINE", "message")]


async def test_a_tablet_that_flaps_is_offline_when_it_has_gone(hub: TestHub) -> None:
    """«Online/offline follows the MQTT session»: the house tells of no change while it flaps."""
    tablet = await hub.device("flapping")
    for _ in range(4):
        hub.clock.at += SECOND
        tablet.disconnect("lost")
        await tablet.connect()
        await hub.settle()
    assert (await hub.event("device.flapping")).device.device_id == "flapping"
    await tablet.send(STATUS_TOPIC, STATUS)
    assert told(hub, tablet.device_id)[-1][0] == "ONLINE"
    hub.clock.at += SECOND
    tablet.disconnect("disconnect")
    await hub.settle()
    await hub.advance(5)
    assert told(hub, tablet.device_id)[-1] == ("OFFLINE", "disconnect")
    await tablet.connect()
    await tablet.send(STATUS_TOPIC, STATUS)
    await hub.advance(5)
    assert told(hub, tablet.device_id)[-1] == ("ONLINE", "status")


async def test_what_was_sent_since_counts_for_more_than_an_old_session(hub: TestHub) -> None:
    tablet = await hub.device("moving")
    store: Any = hub.service(Store)
    await tablet.send(STATUS_TOPIC, STATUS)
    before = {"since": "2020-01-01T00:00:00Z", "reason": "lost"}
    event = LiveEvent(1, "tablets", tablet.device, "device.disconnected", "", before, 0)
    await presence.session_ended(event, store)
    assert told(hub, tablet.device_id) == [("ONLINE", "status")]


async def test_a_will_counts_for_more_than_the_session_before_it(hub: TestHub) -> None:
    tablet = await hub.device("dying")
    store: Any = hub.service(Store)
    await tablet.send(STATUS_TOPIC, STATUS)
    await tablet.send(STATUS_TOPIC, {"battery": 0, "uptime": 0, "bootTime": 0})
    before = {"since": "2020-01-01T00:00:00Z"}
    event = LiveEvent(1, "tablets", tablet.device, "device.connected", "", before, 0)
    await presence.session_began(event, store)
    assert told(hub, tablet.device_id) == [("ONLINE", "status"), ("OFFLINE", "will")]


async def test_a_removed_tablet_leaves_nothing_behind(hub: TestHub) -> None:
    tablet = await hub.device("removed")
    await tablet.send(STATUS_TOPIC, STATUS)
    await tablet.send("tablet/{device_id}/location", {"latitude": 1, "longitude": 1})
    devices: Any = hub.service(Devices)
    await devices.delete(hub.caller, "tablets", "removed")
    assert (await hub.http().get("/api/device/removed")).status_code == 404
    await hub.advance(100)
    assert told(hub, tablet.device_id) == [("ONLINE", "status")]


async def test_a_tablet_that_the_platform_registered_can_be_named_by_its_key(hub: TestHub) -> None:
    await hub.device("bulk", is_connected=False)
    data = (await hub.http().get("/api/device")).json()["data"]
    [listed] = [each for each in data if each["deviceCode"] == "bulk"]
    assert (listed["status"], listed["battery"]) == ("OFFLINE", None)
    answer = await hub.http().get(f"/api/device/{listed['id']}")
    assert answer.json()["data"]["deviceCode"] == "bulk"
