"""Who is there and who is not, on a whole house without sockets."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetwire.apps.tablets import configure, presence
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.kit import Devices, LiveEvent, SettingsError, Store
from fleetwire.testing import TestHub

STATUS = {"battery": 61, "wifiStatus": True}
STATUS_TOPIC = "tablet/{device_id}/status"
SECOND = 1_000_000


@pytest.fixture
async def hub() -> AsyncIterator[TestHub]:
    async with TestHub(configure({})) as hub:
        yield hub


def told(hub: TestHub) -> list[tuple[str, str]]:
    """Return (status, reason) of each push."""
    return [
        (each.body["status"], each.body["reason"])
        for each in hub.events
        if each.name == "device.status"
    ]


async def test_silence_is_offline_once_and_a_message_ends_it(hub: TestHub) -> None:
    """«Online/offline follows the MQTT session, the Will and the age of the last message»"""
    tablet = await hub.device("quiet", is_connected=False)
    await tablet.send(STATUS_TOPIC, STATUS)
    await hub.advance(89)
    assert told(hub) == [("ONLINE", "status")]
    await hub.advance(60)
    assert told(hub) == [("ONLINE", "status"), ("OFFLINE", "silent")]
    assert hub.events[-1].body["battery"] == 61
    await tablet.send("tablet/{device_id}/metrics", {"cpu": 1})
    assert told(hub)[2:] == [("ONLINE", "message")]


async def test_a_session_that_ends_is_offline_with_its_reason(hub: TestHub) -> None:
    tablet = await hub.device("leaving")
    await tablet.send(STATUS_TOPIC, STATUS)
    hub.clock.at += SECOND
    tablet.disconnect("keep_alive")
    await hub.settle()
    assert told(hub) == [("ONLINE", "status"), ("OFFLINE", "keep_alive")]
    hub.clock.at += SECOND
    await tablet.connect()
    await hub.settle()
    assert told(hub)[2:] == [("ONLINE", "message")]


async def test_what_was_sent_since_counts_for_more_than_an_old_session(hub: TestHub) -> None:
    tablet = await hub.device("moving")
    store: Any = hub.service(Store)  # type: ignore[type-abstract]  # mypy: by interface
    await tablet.send(STATUS_TOPIC, STATUS)
    before = {"since": "2020-01-01T00:00:00Z", "reason": "lost"}
    event = LiveEvent(1, "tablets", tablet.device, "device.disconnected", "", before, 0)
    await presence.session_ended(event, store)
    assert told(hub) == [("ONLINE", "status")]


async def test_a_will_counts_for_more_than_the_session_before_it(hub: TestHub) -> None:
    tablet = await hub.device("dying")
    store: Any = hub.service(Store)  # type: ignore[type-abstract]  # mypy: by interface
    await tablet.send(STATUS_TOPIC, STATUS)
    await tablet.send(STATUS_TOPIC, {"battery": 0, "uptime": 0, "bootTime": 0})
    before = {"since": "2020-01-01T00:00:00Z"}
    event = LiveEvent(1, "tablets", tablet.device, "device.connected", "", before, 0)
    await presence.session_began(event, store)
    assert told(hub) == [("ONLINE", "status"), ("OFFLINE", "will")]


async def test_a_removed_tablet_leaves_nothing_behind(hub: TestHub) -> None:
    tablet = await hub.device("removed")
    await tablet.send(STATUS_TOPIC, STATUS)
    await tablet.send("tablet/{device_id}/location", {"latitude": 1, "longitude": 1})
    devices: Any = hub.service(Devices)  # type: ignore[type-abstract]  # mypy: by interface
    await devices.delete(hub.caller, "tablets", "removed")
    assert (await hub.http().get("/api/device")).json()["count"] == 0
    await hub.advance(100)
    assert told(hub) == [("ONLINE", "status")]


async def test_a_tablet_that_the_platform_registered_can_be_named_by_its_key(hub: TestHub) -> None:
    await hub.device("bulk", is_connected=False)
    [listed] = (await hub.http().get("/api/device")).json()["data"]
    assert (listed["status"], listed["battery"]) == ("OFFLINE", None)
    answer = await hub.http().get(f"/api/device/{listed['id']}")
    assert answer.json()["data"]["deviceCode"] == "bulk"


async def test_places_and_metrics_are_pruned_by_age() -> None:
    """«history bounded per device … and pruned by age (7 days)»"""
    assert Bounds().kept_s == 7 * 86_400
    async with TestHub(configure({"TABLETS_KEPT_FOR": "15m"})) as hub:
        await age(hub)


async def age(hub: TestHub) -> None:
    tablet = await hub.device("old")
    await tablet.send("tablet/{device_id}/location", {"latitude": 1, "longitude": 1})
    await tablet.send("tablet/{device_id}/metrics", {"cpu": 1})
    for seconds, count in ((590, 1), (1200, 0)):  # looked at every 10 minutes
        await hub.advance(seconds)
        places = await hub.http().get("/api/device/old/location-history")
        assert places.json()["count"] == count
        shown = await hub.http().get("/api/device/old")
        assert len(shown.json()["data"]["metrics"]) == count
    assert shown.json()["data"]["latitude"] == 1


async def test_a_setting_moves_the_bounds() -> None:
    settings = {"TABLETS_SILENT_AFTER": "5m", "TABLETS_KEPT_LOCATIONS": "3"}
    async with TestHub(configure(settings)) as hub:
        tablet = await hub.device("bounded")
        for step in range(5):
            place = {"latitude": step, "longitude": 1}
            await tablet.send("tablet/{device_id}/location", place)
        places = (await hub.http().get("/api/device/bounded/location-history")).json()["data"]
        assert [each["latitude"] for each in places] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TABLETS_SILENT_AFTER", "soon"),
        ("TABLETS_SILENT_AFTER", "0s"),
        ("TABLETS_KEPT_LOCATIONS", "0"),
        ("TABLETS_KEPT_LOCATIONS", "many"),
        ("TABLETS_KEPT_FOR", "-1d"),
        ("TABLETS_MOVED_M", "nan"),
        ("TABLETS_COMMAND_EXPIRES_IN", "400d"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        configure({name: value})
