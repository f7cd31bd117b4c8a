"""Credentials that end: rotation with overlap, the list of those that end soon, and the warning."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.errors import ForbiddenError, InvalidValueError, StoreUnavailableError
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.credential_endpoints import router as credentials_router
from fleetwire.features.devices.endpoints import router
from fleetwire.features.devices.expiry import CredentialExpiry
from fleetwire.features.devices.service import DeviceService
from fleetwire.kit import Credential, Devices, instants
from fleetwire.net.authenticator import Offer, RefusedError
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

DAY_S = 86_400
DAY_US = DAY_S * 1_000_000


@pytest.fixture
def expiry(rooms: Rooms) -> CredentialExpiry:
    return CredentialExpiry(rooms.db, rooms.devices, rooms.registry, rooms.log, rooms.clock)


@pytest.fixture
async def http(rooms: Rooms, expiry: CredentialExpiry) -> AsyncIterator[httpx.AsyncClient]:
    services = {
        Devices: rooms.devices, DeviceService: rooms.devices, CredentialExpiry: expiry,
    }  # fmt: skip

    async with serving([router, credentials_router], services) as client:
        yield client


async def one_that_ends(rooms: Rooms, device_id: str, days: float, *, by: int = 1) -> Credential:
    """A device whose only usable credential ends in so many days."""
    _, first = await rooms.devices.register(caller(by), "demo", device_id, "meter")
    ends_at = rooms.clock() + round(days * DAY_US)
    given = await rooms.devices.issue_credential(caller(by), "demo", device_id, expires_at=ends_at)
    await rooms.devices.revoke_credential(caller(by), "demo", device_id, first.id)
    return given


async def test_rotation_lets_the_older_tokens_live_for_the_overlap_only(rooms: Rooms) -> None:
    door = DeviceAuthenticator(rooms.registry, rooms.apps, rooms.db, rooms.clock)
    _, old = await rooms.devices.register(caller(), "demo", "d", "meter")
    soon = await rooms.devices.issue_credential(
        caller(), "demo", "d", expires_at=rooms.clock() + DAY_US // 2
    )
    await rooms.devices.bind_certificate(caller(), "demo", "d", "ab" * 32)
    new = await rooms.devices.issue_credential(caller(), "demo", "d", overlap_s=DAY_S)
    ends = {each.id: each.expires_at for each in await rooms.devices.credentials(
        caller(), "demo", "d"
    )}  # fmt: skip
    assert abs((ends[old.id] or 0) - rooms.clock() - DAY_US) < 60_000_000
    assert ends[soon.id] == soon.expires_at
    assert [id for id, ends_at in ends.items() if ends_at is None] == [new.id - 1, new.id]
    for given in (old, new):
        assert await door.authenticate(Offer("c", "d", given.password.encode(), "h:1", False))
    rooms.clock.advance(DAY_S + 60)
    with pytest.raises(RefusedError, match="expired"):
        await door.authenticate(Offer("c", "d", old.password.encode(), "h:1", False))
    assert await door.authenticate(Offer("c", "d", new.password.encode(), "h:1", False))


async def test_what_is_connected_with_an_ended_token_is_closed(rooms: Rooms) -> None:
    _, old = await rooms.devices.register(caller(), "demo", "d", "meter")
    await rooms.devices.issue_credential(caller(), "demo", "d", overlap_s=DAY_S)
    rooms.devices.close_ended()
    assert rooms.downlink.disconnected == []
    await rooms.devices.issue_credential(caller(), "demo", "d", overlap_s=0)
    rooms.devices.close_ended()
    rooms.devices.close_ended()
    closed = [id for _, id, reason in rooms.downlink.disconnected if reason == "credential expired"]
    assert closed == [old.id, old.id + 1]


async def test_the_list_has_the_soonest_first_and_only_ones_own(
    rooms: Rooms, expiry: CredentialExpiry
) -> None:
    for device_id, days in (("late", 20.0), ("soon", 2.0), ("far", 90.0)):
        await one_that_ends(rooms, device_id, days)
    await one_that_ends(rooms, "theirs", 1.0, by=2)
    first = await expiry.list(caller(), 30 * DAY_S, limit=1)
    second = await expiry.list(caller(), 30 * DAY_S, limit=1, cursor=first.next_cursor)
    assert [each.device_id for each in (*first.items, *second.items)] == ["soon", "late"]
    assert second.next_cursor is None
    rooms.clock.advance(3 * DAY_S)  # what has ended is no longer about to
    assert [each.device_id for each in (await expiry.list(caller(), 30 * DAY_S)).items] == ["late"]


async def test_what_another_credential_outlives_is_listed_as_such_and_not_warned_of(
    rooms: Rooms, expiry: CredentialExpiry
) -> None:
    await rooms.register("d")
    await rooms.devices.issue_credential(caller(), "demo", "d", overlap_s=DAY_S)
    rooms.clock.at = instants.now()
    (listed,) = (await expiry.list(caller(), 30 * DAY_S)).items
    assert listed.is_outlived
    assert await expiry.warn() == 0


async def test_of_each_that_ends_within_a_week_it_is_told_once(
    rooms: Rooms, expiry: CredentialExpiry
) -> None:
    given = await one_that_ends(rooms, "soon", 6.9)
    await one_that_ends(rooms, "late", 7.5)
    assert await expiry.warn() == 1
    await rooms.heard("credential.expiring")
    (event,) = rooms.told
    assert given.expires_at is not None
    assert event.body == {
        "device_id": "soon",
        "credential": given.id,
        "expires_at": instants.iso(given.expires_at),
    }
    assert await expiry.warn() == 0
    rooms.clock.advance(DAY_S)
    assert await expiry.warn() == 1
    assert expiry.expiring == 2


async def test_a_warning_that_could_not_be_stored_comes_later(
    rooms: Rooms, expiry: CredentialExpiry
) -> None:
    await one_that_ends(rooms, "soon", 1.0)
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await expiry.warn()
    rooms.db.is_away = False
    assert await expiry.warn() == 1


async def test_a_device_that_was_told_of_can_be_removed(
    rooms: Rooms, expiry: CredentialExpiry
) -> None:
    await one_that_ends(rooms, "soon", 1.0)
    await expiry.warn()
    await rooms.devices.delete(caller(), "demo", "soon")
    assert rooms.devices.find("demo", "soon") is None


async def test_the_list_needs_a_time_and_the_permission(expiry: CredentialExpiry) -> None:
    for within_s in (0.0, 1e18):
        with pytest.raises(InvalidValueError):
            await expiry.list(caller(), within_s)
    with pytest.raises(ForbiddenError):
        await expiry.list(caller(permissions=frozenset()), DAY_S)


async def test_over_http_it_is_rotated_and_listed(http: httpx.AsyncClient, rooms: Rooms) -> None:
    await rooms.register("d")
    path = "/api/v1/devices/demo/d/credentials"
    made = await http.post(path, json={"overlap": "24h", "expires_at": "2999-01-01T00:00:00Z"})
    assert made.status_code == 201
    (listed,) = (await http.get("/api/v1/credentials/expiring?within=2d")).json()["items"]
    assert (listed["device_id"], listed["kind"], listed["is_outlived"]) == ("d", "token", True)
    for body in ({"overlap": "soon"}, {"overlap": "99w"}):
        refused = await http.post(path, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, "overlap")
    refused = await http.get("/api/v1/credentials/expiring?within=x")
    assert (refused.status_code, refused.json()["field"]) == (422, "within")
