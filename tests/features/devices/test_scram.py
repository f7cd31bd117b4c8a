"""SCRAM with the tokens of devices: who gets in, and what a stranger can learn."""

import threading

import pytest

from fleetwire.features.devices import credentials
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.net.authenticator import Admission, Challenge, Offer, RefusedError
from fleetwire.protocol.scram import Verifier, derive
from tests.fakes import caller
from tests.features.rooms import Rooms
from tests.scram_client import ScramClient

SECRET = b"the server's own"


def door_of(rooms: Rooms, registry: Registry | None = None) -> DeviceAuthenticator:
    return DeviceAuthenticator(
        registry or rooms.registry, rooms.apps, rooms.db, rooms.clock, secret=SECRET
    )


def offer() -> Offer:
    return Offer("c", None, None, "10.0.0.1:5", False)


async def challenge(door: DeviceAuthenticator, username: str) -> bytes:
    """Return what the server answers to a user name, without its nonce."""
    client = ScramClient(username, "x")
    step = await door.begin("SCRAM-SHA-256", offer()).step(client.first)
    assert isinstance(step, Challenge)
    return step.data.partition(b",")[2]


async def sign_in(door: DeviceAuthenticator, username: str, token: str) -> Admission:
    client = ScramClient(username, token)
    exchange = door.begin("SCRAM-SHA-256", offer())
    step = await exchange.step(client.first)
    assert isinstance(step, Challenge)
    admission = await exchange.step(client.final(step.data))
    assert isinstance(admission, Admission)
    assert admission.data == client.server_signature  # the server knows the token as well
    return admission


async def test_a_proved_token_grants_what_a_sent_one_does(rooms: Rooms) -> None:
    record, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    grant = (await sign_in(door_of(rooms), "d", credential.password)).grant
    assert grant.identity == "device:demo/d"
    assert (grant.device, grant.credential) == (record.id, credential.id)
    assert grant.may_publish("devices/d/data")


async def test_each_token_of_a_device_works_also_after_a_restart(rooms: Rooms) -> None:
    _, first = await rooms.devices.register(caller(), "demo", "d", "meter")
    second = await rooms.devices.issue_credential(caller(), "demo", "d")
    _, other = await rooms.devices.register(caller(), "vending", "d", "machine")
    registry = Registry()
    await DeviceService(rooms.db, registry, rooms.audit, rooms.downlink, rooms.apps.keys()).load()
    for door in (door_of(rooms), door_of(rooms, registry)):
        for credential, app in ((first, "demo"), (second, "demo"), (other, "vending")):
            grant = (await sign_in(door, "d", credential.password)).grant
            assert (grant.credential, grant.app) == (credential.id, app)


async def test_a_wrong_token_and_an_unknown_user_are_refused_in_the_same_words(
    rooms: Rooms,
) -> None:
    await rooms.register("d")
    door = door_of(rooms)
    for username in ("d", "nobody"):
        with pytest.raises(RefusedError, match=r"^wrong user name or password$") as error:
            await sign_in(door, username, "0" * 64)
        assert error.value.reason_code == 0x86


async def test_a_challenge_does_not_tell_whether_the_user_is_there(rooms: Rooms) -> None:
    await rooms.register("d")
    door = door_of(rooms)
    known, unknown = await challenge(door, "d"), await challenge(door, "nobody")
    assert len(known) == len(unknown)
    assert known != unknown
    assert known.endswith(b",i=4096")
    assert unknown.endswith(b",i=4096")
    # Asked again, also after a restart, each is as before.
    assert await challenge(door_of(rooms), "d") == known
    assert await challenge(door_of(rooms), "nobody") == unknown


async def test_who_proves_a_token_that_is_revoked_is_told_so_and_nobody_else(
    rooms: Rooms,
) -> None:
    _, first = await rooms.devices.register(caller(), "demo", "d", "meter")
    await rooms.devices.issue_credential(caller(), "demo", "d")
    door = door_of(rooms)
    grant = (await sign_in(door, "d", first.password)).grant
    assert door.stands(grant)
    await rooms.devices.revoke_credential(caller(), "demo", "d", first.id)
    assert not door.stands(grant)
    with pytest.raises(RefusedError, match="credential revoked") as error:
        await sign_in(door, "d", first.password)
    assert error.value.reason_code == 0x87
    with pytest.raises(RefusedError, match="wrong user name or password"):
        await sign_in(door, "d", "0" * 64)


async def test_a_credential_of_before_has_no_verifier_and_is_as_unknown(rooms: Rooms) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    known = rooms.registry.credentials_of(rooms.device("d"))[0]
    known.verifier = None
    with pytest.raises(RefusedError, match="wrong user name or password"):
        await sign_in(door_of(rooms), "d", credential.password)


async def test_a_client_may_wait_to_be_asked_once(rooms: Rooms) -> None:
    exchange = door_of(rooms).begin("SCRAM-SHA-256", offer())
    assert await exchange.step(b"") == Challenge(b"")
    with pytest.raises(RefusedError, match="SCRAM"):
        await exchange.step(b"")


@pytest.mark.parametrize("message", [b"\xff", b"n,,n=d", b"p=tls-unique,,n=d,r=x"])
async def test_what_is_no_scram_is_refused_with_its_fault(rooms: Rooms, message: bytes) -> None:
    with pytest.raises(RefusedError, match=r"^SCRAM: ") as error:
        await door_of(rooms).begin("SCRAM-SHA-256", offer()).step(message)
    assert error.value.reason_code == 0x87


async def test_another_method_is_not_known(rooms: Rooms) -> None:
    with pytest.raises(RefusedError, match="SCRAM-SHA-1") as error:
        door_of(rooms).begin("SCRAM-SHA-1", offer())
    assert error.value.reason_code == 0x8C


async def test_a_verifier_is_derived_beside_the_loop(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def derive_there(password: bytes, salt: bytes) -> Verifier:
        threads.append(threading.get_ident())
        return derive(password, salt)

    monkeypatch.setattr(credentials, "derive", derive_there)
    await rooms.register("d")
    await rooms.devices.issue_credential(caller(), "demo", "d")
    assert len(threads) == 2
    assert threading.get_ident() not in threads
