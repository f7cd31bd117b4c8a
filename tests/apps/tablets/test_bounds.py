"""How much is kept of a tablet, and the settings that say it."""

import pytest

from fleetwire.apps.tablets import configure
from fleetwire.apps.tablets.bounds import Bounds
from fleetwire.kit import SettingsError
from fleetwire.testing import TestHub


def test_the_bounds_are_those_of_the_contract() -> None:
    """«moved ≥ 50 m; … bounded per device (setting, default 100) and pruned by age (7 days)»"""
    bounds = Bounds()
    assert (bounds.moved_m, bounds.kept_locations, bounds.kept_s) == (50, 100, 7 * 86_400)


async def test_settings_move_them_and_what_is_old_is_removed() -> None:
    settings = {"TABLETS_KEPT_FOR": "1s", "TABLETS_KEPT_LOCATIONS": "3"}
    async with TestHub(configure(settings)) as hub:
        tablet = await hub.device("old")
        for step in range(5):
            place = {"latitude": step, "longitude": 1}
            await tablet.send("tablet/{device_id}/location", place)
        await tablet.send("tablet/{device_id}/metrics", {"cpu": 1})
        http = hub.http()
        places = (await http.get("/api/device/old/location-history")).json()["data"]
        assert [each["latitude"] for each in places] == [2, 3, 4]
        for seconds, is_there in ((590, True), (20, False)):  # looked at every 10 minutes
            await hub.advance(seconds)
            places = (await http.get("/api/device/old/location-history")).json()["data"]
            assert bool(places) is is_there
            shown = (await http.get("/api/device/old")).json()["data"]
            assert bool(shown["metrics"]) is is_there
        assert shown["latitude"] == 4


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
