"""A queue without room is told of."""

import pytest

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.overflows import QueueOverflows
from fleetwire.store.database import Database
from tests.fakes import client_of
from tests.features.rooms import Rooms


@pytest.fixture
def overflows(rooms: Rooms) -> QueueOverflows:
    return QueueOverflows(rooms.db, rooms.registry, rooms.log)


async def test_a_device_that_lost_messages_gets_one_event_with_their_number(
    rooms: Rooms, overflows: QueueOverflows
) -> None:
    grant = client_of((await rooms.register("d")).id).grant
    overflows.overflowed("c", grant, 2)
    overflows.overflowed("c", grant, 3)
    await overflows.flush()
    await overflows.flush()
    (event,) = rooms.told
    assert event.name == "device.queue_overflow"
    assert (event.body["device_id"], event.body["client_id"]) == ("d", "c")
    assert event.body["dropped"] == 5


async def test_what_could_not_be_stored_is_told_later(
    rooms: Rooms, overflows: QueueOverflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = client_of((await rooms.register("d")).id).grant
    overflows.overflowed("c", grant, 2)

    async def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", away)
        with pytest.raises(StoreUnavailableError):
            await overflows.flush()
    overflows.overflowed("c", grant, 1)
    await overflows.flush()
    assert [event.body["dropped"] for event in rooms.told] == [3]
