"""Client certificates as credentials of devices."""

import httpx
import pytest

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.endpoints import router
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.kit import Devices
from fleetwire.net.authenticator import ClientCertificate, Offer, RefusedError
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

PRINT = "ab" * 32
ENDS_AT = 4_000_000_000_000_000


def certificate(common_name: str = "d", fingerprint: str = PRINT) -> ClientCertificate:
    return ClientCertificate(common_name, f"CN={common_name}", fingerprint, "01", ENDS_AT)


def offer(
    shown: ClientCertificate | None,
    *,
    username: str | None = None,
    password: bytes | None = None,
    anonymous_allowed: bool = False,
) -> Offer:
    return Offer("c", username, password, "10.0.0.1:5", anonymous_allowed, shown)


def door_of(rooms: Rooms, tls_identity: str = "fingerprint") -> DeviceAuthenticator:
    return DeviceAuthenticator(
        rooms.registry, rooms.apps, rooms.db, rooms.clock, tls_identity=tls_identity
    )


async def test_a_bound_certificate_is_its_device_until_one_of_them_ends(rooms: Rooms) -> None:
    device = await rooms.register("d")
    record = await rooms.devices.bind_certificate(caller(), "demo", "d", PRINT)
    grant = await door_of(rooms).authenticate(offer(certificate("whatever")))
    assert (grant.identity, grant.device) == ("device:demo/d", device.id)
    assert (grant.credential, grant.expires_at) == (record.id, ENDS_AT)
    soon = rooms.clock() + 60_000_000
    await rooms.devices.bind_certificate(caller(), "demo", "d", "cd" * 32, expires_at=soon)
    other = await door_of(rooms).authenticate(offer(certificate(fingerprint="cd" * 32)))
    assert other.expires_at == soon
    rooms.clock.advance(60)
    with pytest.raises(RefusedError, match="credential expired"):
        await door_of(rooms).authenticate(offer(certificate(fingerprint="cd" * 32)))


async def test_a_certificate_that_is_bound_to_nothing_is_nobody(rooms: Rooms) -> None:
    await rooms.register("d")
    with pytest.raises(RefusedError, match="no device's") as error:
        await door_of(rooms).authenticate(offer(certificate("d")))
    assert error.value.reason_code == 0x87
    anonymous = offer(certificate("d"), anonymous_allowed=True)
    assert (await door_of(rooms).authenticate(anonymous)).anonymous


async def test_where_the_setting_allows_it_the_common_name_is_the_device(rooms: Rooms) -> None:
    await rooms.register("d")
    door = door_of(rooms, "common_name")
    grant = await door.authenticate(offer(certificate("d")))
    assert (grant.identity, grant.credential) == ("device:demo/d", 0)
    assert grant.expires_at == ENDS_AT
    for name in ("e", "", "+", "#"):
        with pytest.raises(RefusedError, match="no device's"):
            await door.authenticate(offer(certificate(name)))
    await rooms.register("d", app="vending", by=caller(2))
    with pytest.raises(RefusedError, match="several apps"):
        await door.authenticate(offer(certificate("d")))
    await rooms.devices.bind_certificate(caller(2), "vending", "d", PRINT)
    assert (await door.authenticate(offer(certificate("d")))).app == "vending"


async def test_switched_off_a_certificate_says_nothing(rooms: Rooms) -> None:
    await rooms.register("d")
    await rooms.devices.bind_certificate(caller(), "demo", "d", PRINT)
    with pytest.raises(RefusedError, match="credentials are required"):
        await door_of(rooms, "off").authenticate(offer(certificate("d")))


async def test_a_password_decides_before_a_certificate_does(rooms: Rooms) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "e", "meter")
    await rooms.register("d")
    await rooms.devices.bind_certificate(caller(), "demo", "d", PRINT)
    door = door_of(rooms)
    token = credential.password.encode()
    both = await door.authenticate(offer(certificate(), username="e", password=token))
    assert both.identity == "device:demo/e"
    with pytest.raises(RefusedError, match="wrong user name or password"):
        await door.authenticate(offer(certificate(), username="d", password=b"wrong"))


async def test_a_user_name_beside_a_certificate_must_be_its_devices(rooms: Rooms) -> None:
    await rooms.register("d")
    await rooms.devices.bind_certificate(caller(), "demo", "d", PRINT)
    door = door_of(rooms)
    assert (await door.authenticate(offer(certificate(), username="d"))).app == "demo"
    with pytest.raises(RefusedError, match="not that of the certificate"):
        await door.authenticate(offer(certificate(), username="e"))


async def test_the_bytes_of_a_certificate_are_no_password(rooms: Rooms) -> None:
    # Its fingerprint is stored, and is the SHA-256 of bytes that everybody may see.
    fingerprint = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of "foo"
    await rooms.register("d")
    await rooms.devices.bind_certificate(caller(), "demo", "d", fingerprint)
    with pytest.raises(RefusedError, match="wrong user name or password"):
        await door_of(rooms).authenticate(offer(None, username="d", password=b"foo"))


async def test_revoking_it_closes_its_connections_and_frees_the_certificate(rooms: Rooms) -> None:
    await rooms.register("d")
    await rooms.register("e")
    record = await rooms.devices.bind_certificate(caller(), "demo", "d", PRINT)
    with pytest.raises(ConflictError, match="already"):
        await rooms.devices.bind_certificate(caller(), "demo", "e", PRINT)
    await rooms.devices.revoke_credential(caller(), "demo", "d", record.id)
    assert ("credential", record.id, "revoked") in rooms.downlink.disconnected
    with pytest.raises(RefusedError, match="credential revoked"):
        await door_of(rooms).authenticate(offer(certificate()))
    await rooms.devices.bind_certificate(caller(), "demo", "e", PRINT)
    registry = Registry()  # and after a restart it is still the later one's
    await DeviceService(rooms.db, registry, rooms.audit, rooms.downlink, rooms.apps.keys()).load()
    for each in (rooms.registry, registry):
        known = each.certificate(PRINT)
        assert known is not None
        assert known.device.device_id == "e"
    await rooms.devices.delete(caller(), "demo", "e")
    assert rooms.registry.certificate(PRINT) is None


@pytest.mark.parametrize("fingerprint", ["", "ab" * 20, "zz" * 32, "ab" * 33])
async def test_only_a_sha_256_fingerprint_can_be_bound(rooms: Rooms, fingerprint: str) -> None:
    await rooms.register("d")
    with pytest.raises(InvalidValueError, match="64 hexadecimal digits"):
        await rooms.devices.bind_certificate(caller(), "demo", "d", fingerprint)


async def test_nobody_binds_to_another_organisations_device(rooms: Rooms) -> None:
    await rooms.register("d")
    with pytest.raises(NotFoundError):
        await rooms.devices.bind_certificate(caller(2), "demo", "d", PRINT)


async def test_certificates_are_bound_and_listed_over_http(rooms: Rooms) -> None:
    await rooms.register("d")
    services = {Devices: rooms.devices, DeviceService: rooms.devices}
    async with serving([router], services) as http:
        await _bind_and_list(http)


async def _bind_and_list(http: httpx.AsyncClient) -> None:
    path = "/api/v1/devices/demo/d"
    with_colons = ":".join(PRINT.upper()[i : i + 2] for i in range(0, 64, 2))
    bound = await http.post(f"{path}/certificates", json={"fingerprint": with_colons})
    assert bound.status_code == 201
    assert (bound.json()["kind"], bound.json()["fingerprint"]) == ("certificate", PRINT)
    listed = (await http.get(f"{path}/credentials")).json()
    assert [each["kind"] for each in listed] == ["token", "certificate"]
    assert [each["fingerprint"] for each in listed] == [None, PRINT]
    again = await http.post(f"{path}/certificates", json={"fingerprint": PRINT})
    assert again.status_code == 409
    deleted = await http.delete(f"{path}/credentials/{bound.json()['id']}")
    assert deleted.status_code == 204
