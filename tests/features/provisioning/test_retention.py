"""Claims, fleet keys and requests that are long over go; what still decides something stays."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from fleetwire.errors import ForbiddenError, TooManyError
from fleetwire.features.provisioning import retention as module
from fleetwire.features.provisioning.newcomers import Newcomer
from fleetwire.features.provisioning.retention import ProvisioningRetention
from fleetwire.features.provisioning.tables import claims, enrolments, fleet_keys
from tests.fakes import caller
from tests.features.provisioning.conftest import HERE, Entrance
from tests.features.provisioning.test_fleet_keys import approve, ask, key_of, let_in
from tests.features.provisioning.test_self_enrolment import enrol
from tests.house import House

DAY_S = 86_400
KEEP_DAYS = 90
LATER_S = (KEEP_DAYS + 8) * DAY_S  # a request waits for a week


@pytest.fixture
def retention(entrance: Entrance) -> ProvisioningRetention:
    return keeping(entrance, KEEP_DAYS)


def keeping(entrance: Entrance, days: int) -> ProvisioningRetention:
    rooms = entrance.rooms
    return ProvisioningRetention(rooms.db, entrance.newcomers, days, rooms.clock)


async def claim(entrance: Entrance, device_id: str, **more: Any) -> tuple[int, str]:
    newcomer = Newcomer(1, "demo", device_id, "meter")
    made, code = await entrance.claims.create(caller(), newcomer, is_open=False, **more)
    return made.id, code


async def ids(entrance: Entrance, table: Table) -> list[int]:
    query = select(table.c.id).order_by(table.c.id)
    return await entrance.rooms.db.read(lambda c: list(c.scalars(query)))


async def last_claim(entrance: Entrance) -> int:
    """Make a claim that is open for a year, and the newest one."""
    until = entrance.rooms.clock() + 365 * DAY_S * 1_000_000
    return (await claim(entrance, "last", expires_at=until))[0]


async def test_a_claim_goes_so_many_days_after_it_was_over(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    clock = entrance.rooms.clock
    year = clock() + 365 * DAY_S * 1_000_000
    used, code = await claim(entrance, "used", expires_at=year)
    await entrance.claims.take(code, None, remote=HERE, reached="fleet.example")
    revoked, _ = await claim(entrance, "revoked", expires_at=year)
    await entrance.claims.revoke(caller(), revoked)
    expired, _ = await claim(entrance, "expired")  # in a day
    still_open, code = await claim(entrance, "open", expires_at=year)
    last = await last_claim(entrance)
    before = await entrance.deeds()
    clock.advance(KEEP_DAYS * DAY_S)
    assert await retention.prune() == 0
    clock.advance(1)
    assert await retention.prune() == 2
    assert await ids(entrance, claims) == [expired, still_open, last]
    clock.advance(DAY_S)
    assert await retention.prune() == 1
    assert await ids(entrance, claims) == [still_open, last]
    assert await entrance.deeds() == before
    given = await entrance.claims.take(code, None, remote=HERE, reached="fleet.example")
    assert await entrance.connects(given)
    assert used < revoked < expired


async def test_the_newest_stays_so_that_its_number_stays_its_own(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    one, _ = await claim(entrance, "one")
    two, _ = await claim(entrance, "two")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 1
    three, _ = await claim(entrance, "three")
    assert one < two < three


async def test_a_claim_in_use_many_times_stays(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    until = entrance.rooms.clock() + 365 * DAY_S * 1_000_000
    newcomer = Newcomer(1, "demo", "", "meter")
    made, code = await entrance.claims.create(
        caller(), newcomer, is_open=True, expires_at=until, max_uses=2
    )
    await last_claim(entrance)
    await entrance.claims.take(code, "first", remote=HERE, reached="fleet.example")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 0
    await entrance.claims.take(code, "second", remote=HERE, reached="fleet.example")
    assert made.id in await ids(entrance, claims)


async def test_zero_days_keep_everything(entrance: Entrance) -> None:
    await claim(entrance, "one")
    await claim(entrance, "two")
    entrance.rooms.clock.advance(10 * LATER_S)
    forever = keeping(entrance, 0)
    assert await forever.prune() == 0
    assert len(await ids(entrance, claims)) == 2


async def test_a_request_that_nobody_decided_or_fetched_goes(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    key = await key_of(entrance, max_devices=1)
    await ask(entrance, key, "never fetched")
    await approve(entrance)
    with pytest.raises(TooManyError):
        await ask(entrance, key, "undecided")
    other = await key_of(entrance)
    await ask(entrance, other, "undecided")
    await ask(entrance, other, "newest")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 2
    assert len(await ids(entrance, fleet_keys)) == 2
    assert (await ask(entrance, key, "another")).state == "pending"  # there is room again


async def test_whom_somebody_refused_stays_refused_as_long_as_the_key_lets_in(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    key = await key_of(entrance)
    await ask(entrance, key, "d")
    (request,) = await ids(entrance, enrolments)
    await entrance.approvals.refuse(caller(), request)
    await ask(entrance, key, "newest")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 0
    with pytest.raises(ForbiddenError):
        await ask(entrance, key, "d")


async def test_a_key_goes_with_all_its_requests_and_its_devices_stay(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    key = await key_of(entrance)
    asked = await ask(entrance, key, "d")
    await approve(entrance)
    given = await let_in(entrance, asked.poll_token)
    assert await entrance.connects(given)
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 0  # the key counts what it has let in
    (old,) = await ids(entrance, fleet_keys)
    await entrance.keys.revoke(caller(), old)
    newer = await key_of(entrance)
    await ask(entrance, newer, "newest")
    (newest,) = [id for id in await ids(entrance, enrolments) if id != 1]
    entrance.rooms.clock.advance(KEEP_DAYS * DAY_S)
    assert await retention.prune() == 0
    entrance.rooms.clock.advance(1)
    assert await retention.prune() == 2
    assert await ids(entrance, enrolments) == [newest]
    assert old not in await ids(entrance, fleet_keys)
    assert await entrance.connects(given)


async def test_a_device_that_is_in_and_asked_again_is_not_forgotten(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    key = await key_of(entrance)
    asked = await ask(entrance, key, "d")
    await approve(entrance)
    await let_in(entrance, asked.poll_token)  # and never connects
    assert (await ask(entrance, key, "d")).state == "pending"
    await ask(entrance, key, "newest")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 0
    assert (await ask(entrance, key, "d")).state == "pending"  # not «the name is taken»


async def test_what_was_just_decided_can_be_fetched_though_the_key_is_long_over(
    entrance: Entrance,
) -> None:
    day = keeping(entrance, 1)
    clock = entrance.rooms.clock
    key = await key_of(entrance, expires_at=clock() + DAY_S * 1_000_000)
    asked = await ask(entrance, key, "d")
    clock.advance(6 * DAY_S)
    await approve(entrance)
    await ask(entrance, await key_of(entrance), "newest")
    clock.advance(DAY_S * 3)
    for _ in range(2):  # an answer may get lost
        assert await day.prune() == 0
        await let_in(entrance, asked.poll_token)


async def test_a_device_that_came_by_itself_counts_as_long_as_it_is_there(
    entrance: Entrance, retention: ProvisioningRetention
) -> None:
    await enrol(entrance.itself, "here")
    await enrol(entrance.itself, "gone")
    await enrol(entrance.itself, "newest")
    await entrance.rooms.devices.delete(caller(), "demo", "gone")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 1
    again = entrance.make_itself()
    await again.load()
    assert again.count == 2


async def test_more_than_goes_at_once_goes_in_portions(
    entrance: Entrance, retention: ProvisioningRetention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMOVED_AT_ONCE", 2)
    for number in range(6):
        await claim(entrance, f"d{number}")
    entrance.rooms.clock.advance(LATER_S)
    assert await retention.prune() == 5


async def test_it_goes_on_once_the_database_is_back(
    entrance: Entrance, retention: ProvisioningRetention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    await claim(entrance, "old")
    newest, _ = await claim(entrance, "newest")
    entrance.rooms.clock.advance(LATER_S)
    entrance.rooms.db.is_away = True
    running = asyncio.create_task(retention.run())
    try:
        async with asyncio.timeout(5):
            for _ in range(3):
                assert len(await ids(entrance, claims)) == 2
            entrance.rooms.db.is_away = False
            while await ids(entrance, claims) != [newest]:
                assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.slow
def test_a_server_removes_them_by_its_setting(tmp_path: Path) -> None:
    environment = {"FLEETWIRE_PROVISIONING_KEEP_DAYS": "7"}
    house = House(tmp_path, environment=environment)
    try:
        house.start()
        for device_id in ("old", "recent", "newest"):
            body = {"app": "medical", "device_id": device_id, "type": "pulse_oximeter"}
            answer = house.http(house.url).post("/api/v1/claims", json=body)
            assert answer.status_code == 201, answer.text
        house.stop()
        now = time.time_ns() // 1000
        with closing(sqlite3.connect(house.database_path)) as database, database:
            for device_id, days in (("old", 8), ("recent", 6)):
                database.execute(
                    "UPDATE claims SET expires_at = ? WHERE device_id = ?",
                    (now - days * DAY_S * 1_000_000, device_id),
                )
        house.start()
        deadline = time.monotonic() + 10
        while (left := house.select("SELECT device_id FROM claims ORDER BY id")) != [
            ("recent",),
            ("newest",),
        ]:
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
    finally:
        house.close()
