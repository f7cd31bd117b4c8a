"""What settings say, and how long values are kept."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from fleetwire.apps.farm import configure, create
from fleetwire.apps.farm.tables import data_streams
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import SettingsError, Store
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn


def test_settings_are_read() -> None:
    terms = Terms.of(
        {"FARM_VALUES_PER_SECOND": "2.5", "ENABLE_BROADCAST_ALL": "true", "FARM_KEEP_DAYS": "7"}
    )
    assert (terms.values_per_second, terms.broadcast_all, terms.keep_days) == (2.5, True, 7.0)
    assert Terms.of({}) == Terms()
    assert configure({}).name == "farm"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FARM_VALUES_PER_SECOND", "0"),
        ("FARM_VALUES_PER_SECOND", "many"),
        ("FARM_COMMAND_EXPIRES_S", "-1"),
        ("FARM_KEEP_DAYS", "nan"),
        ("ENABLE_BROADCAST_ALL", "perhaps"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Terms.of({name: value})


async def test_values_are_removed_when_they_are_old(tmp_path: Path) -> None:
    async with TestHub(create(Terms(keep_days=1000 / 86_400)), folder=tmp_path) as hub:
        barn = Barn(hub)
        await barn.sensor("level")
        device = await barn.connected("s-1")
        await device.send("devices/s-1/datastream", {"value": 1})
        await hub.advance(400)
        await device.send("devices/s-1/datastream", {"value": 2})
        await hub.advance(850)
        kept = select(data_streams.c.value, func.count()).group_by(data_streams.c.value)
        rows = await hub.service(Store).read(lambda c: c.execute(kept).all())
        assert [tuple(row) for row in rows] == [(2, 1)]
