"""CONNECT, decided from memory."""

import pytest
from structlog.testing import capture_logs

from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.net.authenticator import Offer, RefusedError
from tests.fakes import caller
from tests.features.rooms import Rooms


@pytest.fixture
def door(rooms: Rooms) -> DeviceAuthenticator:
    return DeviceAuthenticator(rooms.registry, rooms.apps, rooms.db, rooms.clock)


def offer(
    username: str | None, password: bytes | str | None, *, anonymous_allowed: bool = False
) -> Offer:
    token = password.encode() if isinstance(password, str) else password
    return Offer("c", username, token, "10.0.0.1:5", anonymous_allowed)


async def test_a_token_grants_the_devices_own_topics(
    rooms: Rooms, door: DeviceAuthenticator
) -> None:
    record, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    grant = await door.authenticate(offer("d", credential.password))
    assert grant.identity == "device:demo/d"
    assert (grant.device, grant.credential, grant.organization_id) == (record.id, credential.id, 1)
    assert grant.may_publish("devices/d/data")
    assert grant.may_publish("devices/d/door/state")
    assert not grant.may_publish("devices/e/data")
    assert grant.may_subscribe("devices/d/commands")
    assert not grant.may_subscribe("devices/+/commands")


async def test_the_same_name_in_two_apps_is_told_apart_by_the_token(
    rooms: Rooms, door: DeviceAuthenticator
) -> None:
    _, one = await rooms.devices.register(caller(), "demo", "d", "meter")
    _, two = await rooms.devices.register(caller(2), "vending", "d", "machine")
    assert (await door.authenticate(offer("d", one.password))).app == "demo"
    assert (await door.authenticate(offer("d", two.password))).app == "vending"


@pytest.mark.parametrize("anonymous_allowed", [True, False])
async def test_a_wrong_name_or_token_is_refused_also_where_anonymous_may_enter(
    rooms: Rooms, door: DeviceAuthenticator, anonymous_allowed: bool
) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    await rooms.register("e")
    wrong: list[tuple[str | None, str | bytes | None]] = [
        ("d", "0" * 64),
        ("d", b"\xff\xfe"),
        ("d", ""),
        ("d", None),
        ("e", credential.password),
        (None, credential.password),
        ("", None),
    ]
    for username, password in wrong:
        with pytest.raises(RefusedError) as error:
            await door.authenticate(offer(username, password, anonymous_allowed=anonymous_allowed))
        assert error.value.reason_code == 0x86
        assert error.value.reason == "wrong user name or password"


async def test_anonymous_clients_enter_where_the_listener_allows_it(
    door: DeviceAuthenticator,
) -> None:
    grant = await door.authenticate(offer(None, None, anonymous_allowed=True))
    assert grant.anonymous
    assert grant.may_publish("any/topic")
    with pytest.raises(RefusedError, match="credentials are required") as error:
        await door.authenticate(offer(None, None))
    assert error.value.reason_code == 0x87


async def test_expired_and_revoked_credentials_are_refused_with_the_reason(
    rooms: Rooms, door: DeviceAuthenticator
) -> None:
    _, first = await rooms.devices.register(caller(), "demo", "d", "meter")
    short = await rooms.devices.issue_credential(
        caller(), "demo", "d", expires_at=rooms.clock() + 60_000_000
    )
    grant = await door.authenticate(offer("d", short.password))
    assert grant.expires_at == short.expires_at
    rooms.clock.advance(60)
    with pytest.raises(RefusedError, match="credential expired") as error:
        await door.authenticate(offer("d", short.password))
    assert error.value.reason_code == 0x87
    await rooms.devices.revoke_credential(caller(), "demo", "d", first.id)
    with pytest.raises(RefusedError, match="credential revoked"):
        await door.authenticate(offer("d", first.password))


async def test_last_use_is_stored_for_all_at_once_and_survives_an_absent_database(
    rooms: Rooms, door: DeviceAuthenticator
) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    await door.authenticate(offer("d", credential.password))
    rooms.db.is_away = True
    with pytest.raises(Exception, match="did not take"):
        await door.flush()
    rooms.db.is_away = False
    await door.flush()
    (record,) = await rooms.devices.credentials(caller(), "demo", "d")
    assert record.last_used_at == rooms.clock()


async def test_rights_name_the_client_and_one_that_cannot_be_filled_is_withheld(
    rooms: Rooms, door: DeviceAuthenticator
) -> None:
    rooms.apps["demo"].publishes[:] = ["c/{client_id}/{role}", "o/{organization}/{device_id}"]
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    grant = await door.authenticate(offer("d", credential.password))
    assert grant.publish == ["c/c/device", "o/1/d"]
    hostile = Offer("+", "d", credential.password.encode(), "10.0.0.1:5", False)
    with capture_logs() as lines:
        assert (await door.authenticate(hostile)).publish == ["o/1/d"]
    (line,) = lines
    assert (line["event"], line["identity"]) == ("right withheld", "device:demo/d")
    assert "client_id contains" in line["reason"]
