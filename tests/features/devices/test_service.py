"""Devices and credentials, stored and in memory."""

import asyncio

import pytest
from sqlalchemy import select

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import MAX_CREDENTIALS, DeviceService, hash_of
from fleetwire.features.devices.tables import device_credentials
from fleetwire.kit import instants
from tests.fakes import caller
from tests.features.rooms import Rooms


async def test_a_registered_device_is_found_in_memory_and_read_back(rooms: Rooms) -> None:
    record, credential = await rooms.devices.register(
        caller(), "demo", "bp-1", "meter", name="Ward 3", attributes={"patient_id": "p-1"}
    )
    device = rooms.devices.find("demo", "bp-1")
    assert device is not None
    assert (device.id, device.organization_id, device.attributes) == (
        record.id,
        1,
        {"patient_id": "p-1"},
    )
    assert await rooms.devices.get(caller(), "demo", "bp-1") == record
    assert credential.username == "bp-1"
    assert len(bytes.fromhex(credential.password)) == 32
    assert rooms.audit.records == [("account:1", "device.registered", "device:demo/bp-1")]


async def test_a_token_is_stored_as_its_hash_only(rooms: Rooms) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    stored = await rooms.db.read(lambda c: c.scalars(select(device_credentials.c.token_hash)).all())
    assert list(stored) == [hash_of(credential.password)]
    assert credential.password.encode() not in rooms.path.read_bytes()


async def test_a_taken_id_is_a_conflict_even_between_organisations(rooms: Rooms) -> None:
    await rooms.register("d")
    with pytest.raises(ConflictError) as error:
        await rooms.register("d", by=caller(2))
    assert error.value.field == "device_id"
    assert (await rooms.register("d", app="vending", by=caller(2))).organization_id == 2


@pytest.mark.parametrize(
    "device_id", ["", "a" * 129, "a/b", "a+", "#", "a\0b", "a\nb", "$SYS", "{device_id}", "\ud800"]
)
async def test_an_id_that_cannot_stand_in_a_topic_is_refused(rooms: Rooms, device_id: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        await rooms.register(device_id)
    assert error.value.field == "device_id"


async def test_an_unknown_app_is_refused_by_name(rooms: Rooms) -> None:
    with pytest.raises(InvalidValueError, match="demo, vending") as error:
        await rooms.register(app="nothing")
    assert error.value.field == "app"


@pytest.mark.parametrize(
    "attributes",
    [{"a": "x" * 17_000}, {"a": float("nan")}, {"a": object()}, {'a"b': 1}, {"": 1}],
)
async def test_attributes_are_bounded_json(rooms: Rooms, attributes: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError) as error:
        await rooms.devices.register(caller(), "demo", "d", "meter", attributes=attributes)
    assert error.value.field == "attributes"


async def test_another_organisations_device_is_not_found_whatever_is_asked(rooms: Rooms) -> None:
    await rooms.register("d")
    stranger = caller(2)
    asked = [
        rooms.devices.get(stranger, "demo", "d"),
        rooms.devices.update(stranger, "demo", "d", name="mine"),
        rooms.devices.delete(stranger, "demo", "d"),
        rooms.devices.issue_credential(stranger, "demo", "d"),
        rooms.devices.credentials(stranger, "demo", "d"),
        rooms.devices.revoke_credential(stranger, "demo", "d", 1),
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotFoundError] * 6
    assert (await rooms.devices.list(stranger, None)).items == []
    assert (await rooms.devices.get(caller(), "demo", "d")).name is None


async def test_each_call_needs_its_permission(rooms: Rooms) -> None:
    await rooms.register("d")
    reader = caller(permissions=frozenset({"device.read"}))
    assert (await rooms.devices.get(reader, "demo", "d")).device_id == "d"
    with pytest.raises(ForbiddenError):
        await rooms.devices.update(reader, "demo", "d", name="x")
    with pytest.raises(ForbiddenError):
        await rooms.devices.list(caller(permissions=frozenset()), None)


async def test_update_merges_and_null_removes_an_attribute(rooms: Rooms) -> None:
    await rooms.devices.register(caller(), "demo", "d", "meter", attributes={"a": 1, "b": 2})
    before = rooms.device()
    record = await rooms.devices.update(
        caller(), "demo", "d", type="scale", attributes={"b": None, "c": 0}
    )
    assert record.attributes == {"a": 1, "c": 0}
    assert rooms.device() is before
    assert (before.type, before.attributes) == ("scale", {"a": 1, "c": 0})


async def test_the_list_pages_filters_and_searches(rooms: Rooms) -> None:
    for n in range(5):
        await rooms.devices.register(
            caller(), "demo", f"bp-{n}", "meter", attributes={"patient_id": f"p{n % 2}"}
        )
    await rooms.register("x", app="vending")
    ids: list[str] = []
    cursor = None
    while True:
        page = await rooms.devices.list(caller(), "demo", limit=2, cursor=cursor)
        ids += [device.device_id for device in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert ids == [f"bp-{n}" for n in range(5)]
    found = await rooms.devices.list(caller(), None, attributes={"patient_id": "p1"})
    assert [device.device_id for device in found.items] == ["bp-1", "bp-3"]
    assert [
        d.device_id for d in (await rooms.devices.list(caller(), None, search="P-4")).items
    ] == ["bp-4"]
    assert (await rooms.devices.list(caller(), None, search="%")).items == []


async def test_a_cursor_of_somebody_elses_making_is_refused(rooms: Rooms) -> None:
    for cursor in ("", "!", "AAAA", "é", "A" * 5000):
        with pytest.raises(InvalidValueError) as error:
            await rooms.devices.list(caller(), None, cursor=cursor)
        assert error.value.field == "cursor"


async def test_revoking_closes_what_is_connected_and_is_remembered(rooms: Rooms) -> None:
    _, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    await rooms.devices.revoke_credential(caller(), "demo", "d", credential.id)
    await rooms.devices.revoke_credential(caller(), "demo", "d", credential.id)
    assert ("credential", credential.id, "revoked") in rooms.downlink.disconnected
    known = rooms.registry.credential(hash_of(credential.password))
    assert known is not None
    assert known.revoked_at
    (record,) = await rooms.devices.credentials(caller(), "demo", "d")
    assert record.revoked_at is not None
    assert record.revoked_at == known.revoked_at
    with pytest.raises(NotFoundError):
        await rooms.devices.revoke_credential(caller(), "demo", "d", 999)


async def test_a_credential_of_another_device_cannot_be_revoked_through_ones_own(
    rooms: Rooms,
) -> None:
    _, theirs = await rooms.devices.register(caller(2), "demo", "theirs", "meter")
    await rooms.register("mine")
    with pytest.raises(NotFoundError):
        await rooms.devices.revoke_credential(caller(), "demo", "mine", theirs.id)
    assert rooms.downlink.disconnected == []


async def test_credentials_have_an_expiry_in_the_future_and_a_bound(rooms: Rooms) -> None:
    await rooms.register("d")
    with pytest.raises(InvalidValueError) as error:
        await rooms.devices.issue_credential(caller(), "demo", "d", expires_at=instants.now() - 1)
    assert error.value.field == "expires_at"
    for _ in range(MAX_CREDENTIALS - 1):
        await rooms.devices.issue_credential(caller(), "demo", "d")
    with pytest.raises(TooManyError):
        await rooms.devices.issue_credential(caller(), "demo", "d")


async def test_a_deleted_device_is_gone_with_its_credentials_and_connections(rooms: Rooms) -> None:
    record, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    await rooms.devices.delete(caller(), "demo", "d")
    assert rooms.devices.find("demo", "d") is None
    assert rooms.registry.by_id(record.id) is None
    assert rooms.registry.credential(hash_of(credential.password)) is None
    assert rooms.downlink.disconnected == [("device", record.id, "deleted")]


async def test_a_deleted_devices_key_is_never_given_again(rooms: Rooms) -> None:
    first = await rooms.register("d")
    await rooms.devices.delete(caller(), "demo", "d")
    again = await rooms.register("d", by=caller(2))
    assert again.id > first.id


async def test_memory_does_not_know_what_was_not_committed(rooms: Rooms) -> None:
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await rooms.register("d")
    assert rooms.devices.find("demo", "d") is None
    rooms.db.is_away = False
    await rooms.register("d")


async def test_a_new_process_loads_devices_and_credentials(rooms: Rooms) -> None:
    record, credential = await rooms.devices.register(caller(), "demo", "d", "meter")
    registry = Registry()
    await DeviceService(rooms.db, registry, rooms.audit, rooms.downlink, {"demo"}).load()
    device = registry.by_id(record.id)
    assert device is not None
    assert registry.find("demo", "d") is device
    known = registry.credential(hash_of(credential.password))
    assert known is not None
    assert known.device is device
