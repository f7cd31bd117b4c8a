"""What was refused is kept, bounded, and shown to those who may see it."""

import pytest

from fleetwire.errors import ForbiddenError, InvalidValueError, NotFoundError, StoreUnavailableError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.quarantine.schemas import RefusedMessageView
from fleetwire.features.quarantine.search import PREVIEW_BYTES, Search
from fleetwire.features.quarantine.selection import Selection
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.features.quarantine.sink import MAX_PAYLOAD_BYTES, QuarantineSqlSink
from fleetwire.ingest.batch import Refused
from tests.fakes import caller, refused
from tests.features.rooms import Rooms


async def put(rooms: Rooms, sink: QuarantineSqlSink, *messages: Refused) -> None:
    await rooms.db.write(lambda tx: sink.write(tx, messages))


async def test_a_refused_message_is_listed_with_its_reason(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(rooms, sink, refused(b'{"a":', topic="devices/d/data"))
    (message,) = (await quarantine.list(caller())).items
    assert (message.topic, message.payload, message.reason_code) == (
        "devices/d/data",
        b'{"a":',
        153,
    )
    assert message.identity == "device:demo/d"
    assert message == await quarantine.get(caller(), message.id)


async def test_search_and_pages(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(rooms, sink, *[refused(topic=f"devices/d{n}/data") for n in range(5)])
    await put(rooms, sink, refused(reason="100% wrong"))
    first = await quarantine.list(caller(), limit=4)
    rest = await quarantine.list(caller(), limit=4, cursor=first.next_cursor)
    ids = [message.id for message in [*first.items, *rest.items]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 6
    assert rest.next_cursor is None
    assert len((await quarantine.list(caller(), Search(topic="/D3/"))).items) == 1
    assert len((await quarantine.list(caller(), Search(reason="100%"))).items) == 1
    assert len((await quarantine.list(caller(), Search(reason="1%0"))).items) == 0


async def test_each_sees_his_own_and_the_platforms_owners_also_unknown_senders(
    rooms: Rooms,
) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(
        rooms,
        sink,
        refused(organization_id=1),
        refused(organization_id=2),
        refused(organization_id=None),
    )
    seen = {message.id for message in (await quarantine.list(caller(1))).items}
    assert seen == {1, 3}
    viewer = caller(1, role="administrator")
    assert {message.id for message in (await quarantine.list(viewer)).items} == {1}
    assert {message.id for message in (await quarantine.list(caller(2))).items} == {2}
    with pytest.raises(NotFoundError):
        await quarantine.get(caller(1), 2)
    with pytest.raises(NotFoundError):
        await quarantine.get(viewer, 3)
    with pytest.raises(NotFoundError):
        await quarantine.discard(caller(1), 2)
    with pytest.raises(ForbiddenError):
        await quarantine.list(caller(permissions=frozenset()))


async def test_a_discarded_message_is_gone_and_its_room_free(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(rooms, sink, refused(b"12345"))
    assert (sink.rows, sink.bytes) == (1, 5)
    await quarantine.discard(caller(), 1)
    assert (sink.rows, sink.bytes) == (0, 0)
    (record,) = (await SqlAudit(rooms.db).list(caller())).items
    assert (record.action, record.subject) == ("quarantine.discarded", "quarantine:1")
    with pytest.raises(NotFoundError):
        await quarantine.discard(caller(), 1)


async def test_a_payload_is_cut_and_its_length_kept(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(rooms, sink, refused(b"x" * 100_000, topic="t/" + "y" * 5000, reason="r" * 5000))
    whole = await quarantine.get(caller(), 1)
    assert len(whole.payload) == MAX_PAYLOAD_BYTES
    assert whole.payload_bytes == 100_000
    assert (len(whole.topic), len(whole.reason)) == (1024, 500)
    (listed,) = (await quarantine.list(caller())).items
    assert len(listed.payload) == PREVIEW_BYTES
    assert sink.bytes == MAX_PAYLOAD_BYTES


async def test_past_its_rows_the_oldest_make_room(rooms: Rooms) -> None:
    sink = QuarantineSqlSink(max_rows=100)
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    for _ in range(30):
        await put(rooms, sink, *[refused() for _ in range(7)])
        assert sink.rows <= 100
    ids = [message.id for message in (await quarantine.list(caller(), limit=1000)).items]
    assert ids == list(range(210, 210 - sink.rows, -1))
    assert sink.rows + sink.pruned == 210


async def test_past_its_bytes_the_oldest_make_room_even_in_one_batch(rooms: Rooms) -> None:
    sink = QuarantineSqlSink(max_bytes=10_000)
    await put(rooms, sink, *[refused(b"x" * 1000) for _ in range(25)])
    assert sink.bytes <= 10_000
    counted = QuarantineSqlSink()
    await rooms.db.read(counted.load)
    assert (counted.rows, counted.bytes) == (sink.rows, sink.bytes)
    assert counted.rows == 9


async def test_what_was_not_committed_is_not_counted(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await put(rooms, sink, refused())
    assert (sink.rows, sink.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("payload", "shown", "encoding"),
    [
        (b'{"a":1}', '{"a":1}', "utf-8"),
        ("grün".encode(), "grün", "utf-8"),
        (b"\xff\x00", "/wA=", "base64"),
        (b"ab\xc3", "YWLD", "base64"),
    ],
)
async def test_a_payload_is_shown_as_text_where_it_is_text(
    rooms: Rooms, payload: bytes, shown: str, encoding: str
) -> None:
    sink = QuarantineSqlSink()
    await put(rooms, sink, refused(payload))
    message = await QuarantineService(rooms.db, sink, SqlAudit(rooms.db)).get(caller(), 1)
    view = RefusedMessageView.of(message)
    assert (view.payload, view.encoding, view.is_cut) == (shown, encoding, False)


async def test_text_that_was_cut_within_a_character_is_still_text(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    await put(rooms, sink, refused(b"x" + "é".encode() * 1000))
    (message,) = (await QuarantineService(rooms.db, sink, SqlAudit(rooms.db)).list(caller())).items
    view = RefusedMessageView.of(message)
    assert view.encoding == "utf-8"
    assert view.is_cut
    assert view.payload.startswith("xéé")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(), "abcd"),
        (Search(text="HELLO"), "a"),
        (Search(text="tablet-7"), "bc"),
        (Search(filter="devices/+/data"), "abc"),
        (Search(filter="devices/tablet-7/#"), "bc"),
        (Search(filter="devices/tablet-7/data"), "bc"),
        (Search(filter="devices"), ""),
        (Search(filter="a_b/#"), "d"),
        (Search(device="tablet-7"), "bc"),
        (Search(device="tablet"), ""),
        (Search(app="demo"), "abcd"),
        (Search(app="other"), ""),
        (Search(reason="NOT JSON"), "abc"),
        (Search(topic="TABLET", reason="json"), "bc"),
        (Search(from_at=1_000_000, to_at=1_000_001), "abcd"),
        (Search(from_at=1_000_001), ""),
        (Search(to_at=1_000_000), ""),
    ],
)
async def test_every_condition_finds_what_it_says(rooms: Rooms, search: Search, found: str) -> None:
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(
        rooms,
        sink,
        refused(b"\xff Hello", topic="devices/bp-1/data"),
        refused(topic="devices/tablet-7/data"),
        refused(topic="devices/tablet-7/data"),
        refused(topic="a_b", reason="no handler"),
    )
    items = (await quarantine.list(caller(), search)).items
    assert "".join("abcd"[message.id - 1] for message in items[::-1]) == found


async def test_what_is_no_topic_filter_is_refused(rooms: Rooms) -> None:
    quarantine = QuarantineService(rooms.db, QuarantineSqlSink(), SqlAudit(rooms.db))
    with pytest.raises(InvalidValueError) as refusal:
        await quarantine.list(caller(), Search(filter="a/#/b"))
    assert refusal.value.field == "filter"


async def test_a_search_looks_at_a_bounded_number_and_goes_on_by_its_cursor(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.quarantine.search.LOOKED_AT_MOST", 200)
    sink = QuarantineSqlSink()
    quarantine = QuarantineService(rooms.db, sink, SqlAudit(rooms.db))
    await put(rooms, sink, refused(b"needle"), *[refused() for _ in range(450)])
    page = await quarantine.list(caller(), Search(text="needle"))
    assert page.items == []
    pages = 1
    while page.next_cursor is not None:
        page = await quarantine.list(caller(), Search(text="needle"), cursor=page.next_cursor)
        pages += 1
    assert [message.id for message in page.items] == [1]
    assert pages == 3


async def test_many_are_discarded_by_search_and_it_is_on_record(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    audit = SqlAudit(rooms.db)
    quarantine = QuarantineService(rooms.db, sink, audit)
    await put(rooms, sink, *[refused(b"12", topic=f"a/{n % 2}") for n in range(500)])
    await put(rooms, sink, refused(topic="a/1", organization_id=2))
    assert await quarantine.discard_many(caller(), Selection(search=Search(filter="a/1"))) == 250
    assert (sink.rows, sink.bytes) == (251, 501)
    steps = (await audit.list(caller(), action="quarantine.discarded")).items
    assert sum(step.detail["rows"] for step in steps) == 250
    assert steps[0].detail["where"] == {"filter": "a/1"}
    assert await quarantine.discard_many(caller(), Selection((1, 3, 5, 999))) == 3
    with pytest.raises(InvalidValueError):
        await quarantine.discard_many(caller(), Selection())
    with pytest.raises(ForbiddenError):
        await quarantine.discard_many(caller(permissions=frozenset()), Selection((1,)))


async def test_what_is_too_old_goes_and_it_is_counted_and_on_record(rooms: Rooms) -> None:
    sink = QuarantineSqlSink()
    audit = SqlAudit(rooms.db)
    rooms.clock.at = 1_000_000 + 30 * 86_400_000_000
    quarantine = QuarantineService(rooms.db, sink, audit, keep_days=30, clock=rooms.clock)
    await put(rooms, sink, *[refused() for _ in range(250)], refused(organization_id=2))
    assert await quarantine.remove_old() == 0
    rooms.clock.advance(1)
    assert await quarantine.remove_old() == 251
    assert (sink.rows, sink.bytes, sink.outdated) == (0, 0, 251)
    records = (await audit.list(caller(), action="quarantine.expired")).items
    assert sum(each.detail["rows"] for each in records) == 250
