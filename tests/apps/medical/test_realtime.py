"""`/ws/mqtt`, driven through ASGI by hand: no socket, and the order of things is given."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Scope

from fleetwire.apps.medical import app
from fleetwire.kit import Device, DeviceRecord, DomainError, TooManyError, following
from tests.apps.medical.fakes import ALICE, AT, FakeHouse

MINE = Device(1, "medical", "bp-1", 1, "x", {"patient_id": "P-1"})
OTHER = Device(2, "medical", "bp-2", 1, "x", {"patient_id": "P-2"})


class Client:
    """A WebSocket client; what the server sends waits in `frames`."""

    def __init__(self, fakes: FakeHouse, query: str, *, room: int = 100) -> None:
        self.frames: asyncio.Queue[Message] = asyncio.Queue(room)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        scope: Scope = {
            "type": "websocket",
            "path": "/ws/mqtt",
            "raw_path": b"/ws/mqtt",
            "root_path": "",
            "query_string": query.encode(),
            "headers": [],
            "subprotocols": [],
            "scheme": "ws",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8004),
            "state": {},
        }
        self.served = asyncio.create_task(fakes.web(scope, self._inbox.get, self.frames.put))

    async def next(self) -> Message:
        async with asyncio.timeout(5):
            return await self.frames.get()

    async def text(self) -> str:
        frame = await self.next()
        assert frame["type"] == "websocket.send"
        text: str = frame["text"]
        return text

    async def opened(self) -> None:
        assert (await self.next())["type"] == "websocket.accept"

    async def closed(self) -> tuple[int, str]:
        frame = await self.next()
        assert frame["type"] == "websocket.close"
        await self.gone()
        return frame["code"], frame["reason"]

    def say(self, text: str) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def gone(self) -> None:
        """Wait until the server has done with this connection."""
        async with asyncio.timeout(5):
            await self.served


@pytest.fixture
async def fakes() -> AsyncIterator[FakeHouse]:
    house = FakeHouse(app)
    for device in (MINE, OTHER):
        house.devices.records[device.device_id] = record(device)
    yield house
    assert not house.realtime.is_open, "the stream was left open"


def record(device: Device) -> DeviceRecord:
    return DeviceRecord(
        device.id,
        device.app,
        device.device_id,
        device.organization_id,
        device.type,
        None,
        device.attributes,
        "inactive",
        {},
        False,
        None,
        None,
        None,
        AT,
        AT,
    )


async def test_each_event_is_one_text_frame(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good")
    await client.opened()
    fakes.realtime.tell(1, MINE)
    fakes.realtime.tell(2, OTHER)
    assert [await client.text(), await client.text()] == ['{"cursor":1}', '{"cursor":2}']
    assert fakes.audit.records == [("patient.read", "patients")]
    assert (fakes.realtime.asked["app"], fakes.realtime.asked["since"]) == ("medical", None)
    client.leave()
    await client.gone()


async def test_the_stream_listens_before_the_client_is_let_in(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good")
    await client.opened()
    assert fakes.realtime.is_open
    client.leave()
    await client.gone()


@pytest.mark.parametrize(
    ("query", "subject"),
    [
        ("device_id=bp-1", "device:bp-1"),
        ("patient_id=P-1", "patient:P-1"),
        ("device_id=bp-1&patient_id=P-1", "patient:P-1"),
    ],
)
async def test_events_are_narrowed_and_the_reading_is_audited_once(
    fakes: FakeHouse, query: str, subject: str
) -> None:
    client = Client(fakes, f"token=good&{query}")
    await client.opened()
    fakes.realtime.tell(1, OTHER)
    fakes.realtime.tell(2, MINE)
    assert await client.text() == '{"cursor":2}'
    assert fakes.audit.records == [("patient.read", subject)]
    client.leave()
    await client.gone()


async def test_since_is_handed_to_the_stream(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good&since=41")
    await client.opened()
    assert fakes.realtime.asked["since"] == 41
    client.leave()
    await client.gone()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 4401),
        ("token=bad", 4401),
        ("token=good&device_id=nobody", 4404),
        ("token=good&device_id=", 4404),
        ("token=good&since=", 4422),
        ("token=good&since=-1", 4422),
        ("token=good&since=1e3", 4422),
        ("token=good&since=9223372036854775808", 4422),
        ("token=good&since=" + "9" * 5000, 4422),
        ("token=good&since=%D9%A3", 4422),
        ("token=good&device_id=" + "ä" * 500, 4404),
    ],
)
async def test_a_refusal_closes_with_a_reason_a_browser_can_read(
    fakes: FakeHouse, query: str, code: int
) -> None:
    client = Client(fakes, query)
    await client.opened()
    closed, reason = await client.closed()
    assert closed == code
    assert 0 < len(reason.encode()) <= 123
    assert fakes.audit.records == []


async def test_another_organisations_device_does_not_exist(fakes: FakeHouse) -> None:
    foreign = Device(3, "medical", "bp-3", ALICE.organization_id + 1, "x", {})
    fakes.devices.records["bp-3"] = record(foreign)
    client = Client(fakes, "token=good&device_id=bp-3")
    await client.opened()
    assert (await client.closed())[0] == 4404


async def test_what_a_client_sends_is_passed_over(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good")
    await client.opened()
    client.say("hello")
    client.say("{}")
    fakes.realtime.tell(1, MINE)
    assert await client.text() == '{"cursor":1}'
    client.leave()
    await client.gone()


async def test_a_client_that_leaves_while_nothing_happens_is_noticed(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good")
    await client.opened()
    client.leave()
    await client.gone()
    assert not fakes.realtime.is_open


async def test_a_client_that_leaves_while_it_is_sent_to_is_noticed(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good", room=1)
    await client.opened()
    for cursor in range(3):
        fakes.realtime.tell(cursor, MINE)
    assert await client.text() == '{"cursor":0}'
    client.leave()  # while the third frame waits for room
    await client.gone()


async def test_a_token_that_is_no_longer_good_ends_the_connection(
    fakes: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RECHECK_S", 0.0)
    client = Client(fakes, "token=good")
    await client.opened()
    fakes.gate.is_good = False
    assert (await client.closed())[0] == 4401


async def test_a_stream_that_ends_with_a_refusal_closes_with_it(fakes: FakeHouse) -> None:
    client = Client(fakes, "token=good")
    await client.opened()
    error: DomainError = TooManyError("Too many.")
    fakes.realtime.queue.put_nowait(error)
    assert await client.closed() == (4429, "Too many.")
