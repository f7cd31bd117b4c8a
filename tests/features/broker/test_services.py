"""Clients, retained messages and counters of a real server: what is told, and to whom."""

import asyncio
import contextlib

import pytest

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
)
from fleetwire.features.broker import stored
from fleetwire.net.client import ConnectionLostError
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.fakes import caller
from tests.features.broker.conftest import Room

OWNER = caller(1)
OPERATOR = caller(1, role="operator")
STRANGER = caller(2)


async def test_a_client_is_shown_with_its_session_and_its_connection(room: Room) -> None:
    will = Publish("devices/one/state", b"gone", 1)
    options = {c.SESSION_EXPIRY_INTERVAL: 60, c.RECEIVE_MAXIMUM: 7, c.MAXIMUM_PACKET_SIZE: 5000}
    async with room.client(
        "c/1", "one", keep_alive=30, will=will, properties=dict(options)
    ) as client:
        await client.subscribe(Subscription("a/+", 1, no_local=True, retain_handling=2))
        await client.publish("a/b", b"12345", 1)
        shown = room.clients.get(OWNER, "c/1")
        (listed,) = room.clients.list(OWNER).items
        connection = next(iter(room.server.connections))
    assert (shown.device, shown.identity) == ("demo/one", "device:demo/one")
    assert (shown.connected, shown.protocol, shown.listener) == (True, "5.0", "tcp")
    assert shown.remote == connection.remote
    assert shown.connected_at is not None
    assert shown.disconnected_at is None
    assert (shown.keep_alive_s, shown.session_expiry_s) == (30, 60)
    assert (shown.window, shown.maximum_packet_size) == (7, 5000)
    assert shown.will_topic == "devices/one/state"
    assert (shown.messages_received, shown.messages_sent) == (1, 0)  # no_local
    assert shown.bytes_received is not None
    assert shown.bytes_received > len("c/1") + len("a/b12345")
    (subscription,) = shown.subscription_list
    assert (subscription.topic_filter, subscription.qos) == ("a/+", 1)
    assert (subscription.no_local, subscription.retain_handling) == (True, 2)
    assert listed.client_id == "c/1"
    assert listed.subscriptions == 1


async def test_what_waits_for_a_client_that_is_away_is_counted(room: Room) -> None:
    expiry = {c.SESSION_EXPIRY_INTERVAL: 60}
    async with room.client("away", "one", properties=dict(expiry)) as client:
        await client.subscribe(Subscription("a", 1))
    async with room.client("sender") as sender:
        await sender.publish("a", b"123", 1)
        shown = room.clients.get(OWNER, "away")
    assert (shown.connected, shown.queued, shown.queued_bytes) == (False, 1, 4)
    assert shown.disconnected_at is not None
    assert (shown.remote, shown.bytes_sent, shown.keep_alive_s) == (None, None, None)
    summary = room.overview.summary(OWNER)
    assert (summary.queued_messages, summary.clients_disconnected) == (1, 1)


async def test_clients_are_found_by_id_identity_address_and_state(room: Room) -> None:
    expiry = {c.SESSION_EXPIRY_INTERVAL: 60}
    async with room.client("away", "one", properties=dict(expiry)):
        pass
    async with room.client("Here", "one"):

        def found(**asked: object) -> list[str]:
            page = room.clients.list(OWNER, **asked)  # type: ignore[arg-type]
            return [each.client_id for each in page.items]

        assert found() == ["Here", "away"]
        assert found(search="her") == ["Here"]
        assert found(search="DEMO/one") == ["Here", "away"]
        assert found(search="127.0.0.1:") == ["Here"]
        assert found(search="nobody") == []
        assert found(connected=True) == ["Here"]
        assert found(connected=False) == ["away"]
        first = room.clients.list(OWNER, limit=1)
        second = room.clients.list(OWNER, limit=1, cursor=first.next_cursor)
        assert [each.client_id for each in second.items] == ["away"]
        assert second.next_cursor is None


async def test_a_caller_sees_his_organisations_clients_only(room: Room) -> None:
    async with room.client("1", "one"), room.client("2", "two"), room.client("nobody"):

        def seen(by: object) -> list[str]:
            return [each.client_id for each in room.clients.list(by).items]  # type: ignore[arg-type]

        assert seen(OWNER) == ["1", "nobody"]
        assert seen(OPERATOR) == ["1"]
        assert seen(STRANGER) == ["2"]
        for unseen in ("2", "none"):
            with pytest.raises(NotFoundError):
                room.clients.get(OWNER, unseen)
            with pytest.raises(NotFoundError):
                await room.clients.disconnect(OWNER, unseen, end_session=True)
        assert "2" in room.broker.sessions


async def test_a_client_is_disconnected_with_its_reason_and_keeps_its_session(room: Room) -> None:
    ended: list[str] = []
    expiry = {c.SESSION_EXPIRY_INTERVAL: 60}
    will = Publish("wills", b"gone")
    async with (
        room.client("watcher") as watcher,
        room.client("c", "one", properties=dict(expiry), will=will) as client,
    ):
        await watcher.subscribe(Subscription("wills"))
        await room.clients.disconnect(OWNER, "c", end_session=False)
        with pytest.raises(ConnectionLostError) as lost:
            async for _ in client.messages():
                pass
        ended.append(str(lost.value))
        async with asyncio.timeout(5):
            async for message in watcher.messages():
                assert message.payload == b"gone"
                break
    assert "Administrative action" in ended[0]
    assert "c" in room.broker.sessions
    assert room.audit.records == [("account:1", "broker.client_disconnected", "client:c")]
    with pytest.raises(ConflictError):
        await room.clients.disconnect(OWNER, "c", end_session=False)
    await room.clients.disconnect(OWNER, "c", end_session=True)
    assert "c" not in room.broker.sessions
    reasons = {each.reason: each.count for each in room.overview.counters(OWNER)}
    assert reasons["disconnected by an administrator"] == 1


async def test_the_end_of_a_session_is_told_only_when_it_is_stored(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "STORED_WITHIN_S", 0.01)
    monkeypatch.setattr(room.broker.journal, "when_stored", lambda action: None)
    async with room.client("c", "one", properties={c.SESSION_EXPIRY_INTERVAL: 60}):
        pass
    with pytest.raises(StoreUnavailableError):
        await room.clients.disconnect(OWNER, "c", end_session=True)


async def test_retained_messages_are_their_devices_organisations(room: Room) -> None:
    async with room.client("c") as client:
        for topic in ("devices/one/state", "devices/two/state", "devices/three/state", "free"):
            await client.publish(topic, b"x" * 600, 1, retain=True)
    room.broker.publish_own(Publish("$SYS/broker/x", b"1", 0, True), room.clock())

    def seen(by: object, topic_filter: str | None = None) -> list[str]:
        page = room.retained.list(by, topic_filter=topic_filter)  # type: ignore[arg-type]
        return [each.topic for each in page.items]

    assert seen(OWNER) == ["devices/one/state", "devices/three/state", "free"]
    assert seen(OPERATOR) == ["devices/one/state"]
    assert seen(STRANGER, "devices/+/state") == ["devices/two/state"]
    assert seen(OWNER, "$SYS/#") == ["$SYS/broker/x"]
    (first, *_) = room.retained.list(OWNER).items
    assert (len(first.payload), first.payload_bytes, first.qos) == (512, 600, 1)
    assert room.retained.get(OWNER, "free").payload == b"x" * 600
    with pytest.raises(NotFoundError):
        room.retained.get(OWNER, "devices/two/state")
    with pytest.raises(InvalidValueError) as bad:
        room.retained.list(OWNER, topic_filter="a/#/b")
    assert bad.value.field == "filter"


async def test_a_retained_message_is_removed_by_who_may(room: Room) -> None:
    async with room.client("c") as client:
        await client.publish("devices/one/state", b"1", 1, retain=True)
        await client.publish("devices/two/state", b"2", 1, retain=True)
    await room.retained.delete(OWNER, "devices/one/state")
    for topic in ("devices/one/state", "devices/two/state"):
        with pytest.raises(NotFoundError):
            await room.retained.delete(OWNER, topic)
    with pytest.raises(InvalidValueError):
        await room.retained.delete(OWNER, "$SYS/broker/version")
    assert [kept.publish.topic_name for kept in room.broker.retained] == ["devices/two/state"]
    assert room.audit.records == [
        ("account:1", "broker.retained_deleted", "topic:devices/one/state")
    ]


async def test_an_expired_retained_message_is_not_shown(room: Room) -> None:
    expiry = {c.MESSAGE_EXPIRY_INTERVAL: 1}
    room.broker.publish_own(Publish("a", b"1", 0, True, properties=dict(expiry)), room.clock())
    (kept,) = room.retained.list(OWNER).items
    assert kept.expires_at == room.clock() + 1_000_000
    room.clock.advance(1)
    assert room.retained.list(OWNER).items == []
    with pytest.raises(NotFoundError):
        room.retained.get(OWNER, "a")


async def test_counters_are_named_by_their_reasons(room: Room) -> None:
    stats = room.broker.stats
    stats.drop("the client's queue is full", 3)
    stats.messages_dropped += 2  # whoever counts without a reason
    stats.refuse_message(c.NOT_AUTHORIZED)
    stats.refuse_connection(c.BANNED)
    stats.disconnect("lost")
    counted = {(each.what, each.reason): each.count for each in room.overview.counters(OWNER)}
    assert counted == {
        ("message dropped", "the client's queue is full"): 3,
        ("message dropped", "other"): 2,
        ("message refused", "Not authorized"): 1,
        ("connection refused", "Banned"): 1,
        ("connection ended", "lost"): 1,
    }


async def test_reasons_of_disconnections_are_bounded(room: Room) -> None:
    for number in range(1000):
        room.broker.stats.disconnect(f"reason {number}")
    found = room.broker.stats.disconnections
    assert len(found) <= 65
    assert sum(found.values()) == 1000


async def test_each_question_needs_its_permission(room: Room) -> None:
    nobody = caller(1, permissions=frozenset())
    reader = caller(1, permissions=frozenset({"broker.read"}))
    room.overview.summary(reader)
    for ask in (
        lambda: room.overview.summary(nobody),
        lambda: room.overview.counters(nobody),
        lambda: room.clients.list(nobody),
        lambda: room.clients.get(nobody, "x"),
        lambda: room.retained.list(nobody),
        lambda: room.retained.get(nobody, "x"),
    ):
        with pytest.raises(ForbiddenError):
            ask()
    for change in (
        room.clients.disconnect(reader, "x", end_session=True),
        room.retained.delete(reader, "x"),
        room.overview.trace(reader, client_id="x", payload=True),
        room.overview.trace(nobody, client_id="x"),
    ):
        with pytest.raises(ForbiddenError):
            await change
    with contextlib.suppress(NotFoundError):
        await room.retained.delete(OWNER, "x")


async def test_a_trace_ends_when_the_rights_of_its_reader_change(room: Room) -> None:
    mine = await room.overview.trace(OWNER, client_id="x")
    theirs = await room.overview.trace(STRANGER, client_id="x")
    room.overview.recheck(OWNER.actor)
    assert mine.is_closed
    assert not theirs.is_closed
    room.overview.end_trace(theirs)
    room.overview.recheck(STRANGER.actor)
    assert room.server.tracer.traces == []
