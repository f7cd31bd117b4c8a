"""What was stored comes back as it was; what was damaged is left out, and never more than that."""

from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from fleetwire.broker.grants import Grant
from fleetwire.broker.session import WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC, Outgoing
from fleetwire.broker.subscriptions import SharedGroup
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish, Subscription
from fleetwire.store.journal.journal import SqlJournal
from fleetwire.store.journal.restore import Restored
from tests.store.journal.making import (
    NOW,
    Disk,
    give,
    make_journal,
    make_outgoing,
    make_session,
    picture_of,
    picture_of_outgoing,
    picture_of_publish,
    picture_of_session,
)

EVERYTHING: Properties = {
    c.PAYLOAD_FORMAT_INDICATOR: 1,
    c.MESSAGE_EXPIRY_INTERVAL: 0xFFFFFFFF,
    c.CONTENT_TYPE: "text/plain; charset=«utf-8»",
    c.RESPONSE_TOPIC: "antwort/ü/😀",
    c.CORRELATION_DATA: bytes(range(256)),
    c.USER_PROPERTY: [("b", "2"), ("a", "1"), ("b", "1"), ("", "")],
}


async def restart(disk: Disk, journal: SqlJournal, now: int = NOW) -> Restored:
    """Store what was told, and read it as the next process would."""
    assert await journal.flush(5)
    return await make_journal(disk).load(now)


async def execute(disk: Disk, statement: str, **parameters: Any) -> None:
    await disk.write(lambda tx: tx.execute(text(statement), parameters).close())


async def rows(disk: Disk, table: str) -> list[Any]:
    return await disk.read(lambda c: list(c.execute(text(f"SELECT * FROM {table}"))))


async def test_an_empty_database_restores_nothing(disk: Disk) -> None:
    restored = await make_journal(disk).load(NOW)
    assert picture_of(restored) == {"sessions": {}, "retained": {}, "wills": {}}


async def test_a_session_comes_back_with_all_that_is_its_own(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("Gerät-1 «😀»")
    session.expiry_interval = 0xFFFFFFFF
    session.grant = Grant("anonymous", ["#"], ["#"], anonymous=True)
    journal.keep_session(session)
    for subscription, identifier in (
        (Subscription("down/+/ä/#", 2, True, True, 2), 268_435_455),
        (Subscription("$share/g/down", 1, False, False, 1), 0),
    ):
        session.subscriptions[subscription.topic_filter] = (subscription, identifier)
        journal.keep_subscription(session, subscription, identifier)
    for packet_id in (65_535, 1, 300):
        session.received[packet_id] = None  # type: ignore[assignment]  # only its key is compared
        journal.keep_received(session, packet_id)
    restored = await restart(disk, journal)
    (back,) = restored.sessions
    assert picture_of_session(back) == picture_of_session(session)
    assert (back.grant.publish, back.grant.subscribe, back.link) == ([], [], None)
    assert not back.grant.may_publish("up/1")
    ticket = back.received[300]
    assert (ticket.packet_id, ticket.qos, ticket.outstanding, ticket.link) == (300, 2, 0, None)
    assert ticket.session is back


async def test_messages_come_back_equal_and_in_order_where_they_were(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("a")
    journal.keep_session(session)
    flying = []
    for packet_id, qos, state in (
        (700, 2, WAIT_PUBCOMP),
        (2, 1, WAIT_PUBACK),
        (65_535, 2, WAIT_PUBREC),
    ):
        outgoing = make_outgoing(Publish("t/ö", b"\x00\xff" * 300, qos, properties=EVERYTHING), qos)
        outgoing.packet_id, outgoing.state = packet_id, state
        outgoing.subscription_ids = [5, 1, 268_435_455]
        outgoing.expires_at = NOW + packet_id
        flying.append(give(session, outgoing))
        journal.keep_outgoing(session, outgoing)
    for number in range(600):
        outgoing = make_outgoing(Publish(f"queue/{number}", b"", 1, True), 1)
        outgoing.retain = number % 2 == 0
        give(session, outgoing)
        journal.keep_outgoing(session, outgoing)
    (back,) = (await restart(disk, journal)).sessions
    assert picture_of_session(back) == picture_of_session(session)
    assert list(back.inflight) == [700, 2, 65_535]
    assert len(back.queue) == 600
    assert len(back.packet_ids) == 3
    assert back.packet_ids.allocate() == 1
    assert back.packet_ids.allocate() == 3


async def test_one_message_to_many_sessions_is_one_again(disk: Disk) -> None:
    journal = make_journal(disk)
    publish = Publish("t", b"x", 1)
    sessions = [make_session(name) for name in "abc"]
    for session in sessions:
        journal.keep_session(session)
        journal.keep_outgoing(session, give(session, make_outgoing(publish)))
    restored = await restart(disk, journal)
    assert len(await rows(disk, "mqtt_messages")) == 1
    assert len({id(session.queue[0].publish) for session in restored.sessions}) == 1


async def test_a_restored_message_is_dropped_with_the_last_who_waited_for_it(disk: Disk) -> None:
    journal = make_journal(disk)
    publish = Publish("t", b"x", 1)
    for name in "ab":
        session = make_session(name)
        journal.keep_session(session)
        journal.keep_outgoing(session, make_outgoing(publish))
    assert await journal.flush(5)
    again = make_journal(disk)
    first, second = (await again.load(NOW)).sessions
    again.drop_outgoing(first, first.queue[0])
    assert await again.flush(5)
    assert len(await rows(disk, "mqtt_messages")) == 1
    again.drop_session(second)
    assert await again.flush(5)
    assert await rows(disk, "mqtt_messages") == await rows(disk, "mqtt_outgoing") == []


async def test_keys_go_on_after_a_restart(disk: Disk) -> None:
    journal = make_journal(disk)
    old = make_session("old")
    journal.keep_session(old)
    journal.keep_outgoing(old, give(old, make_outgoing(Publish("t", b"old", 1))))
    assert await journal.flush(5)
    again = make_journal(disk)
    (old,) = (await again.load(NOW)).sessions
    new = make_session("new")
    again.keep_session(new)
    for session in (new, old):
        again.keep_outgoing(session, make_outgoing(Publish("t", b"new", 1)))
    restored = await restart(disk, again)
    assert [s.client_id for s in restored.sessions] == ["old", "new"]
    assert [[o.publish.payload for o in s.queue] for s in restored.sessions] == [
        [b"old", b"new"],
        [b"new"],
    ]


async def test_who_was_connected_when_the_power_went_was_connected_until_now(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("a", disconnected_at=0)
    journal.keep_session(session)
    journal.keep_will(session, Publish("gone", b"a", 1), 30, 0)
    assert await journal.flush(5)
    again = make_journal(disk)
    restored = await again.load(NOW)
    assert restored.sessions[0].disconnected_at == NOW
    assert restored.wills[0][2:] == (30, NOW + 30_000_000)
    # And that is stored: one more loss of power does not prolong it.
    later = await restart(disk, again, NOW + 10_000_000)
    assert later.sessions[0].disconnected_at == NOW
    assert later.wills[0][2:] == (30, NOW + 30_000_000)


async def test_a_will_comes_back_with_who_its_client_is(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("nobody's session")
    will = Publish("gone/ü", b"\x00", 2, True, properties={**EVERYTHING, c.WILL_DELAY_INTERVAL: 9})
    journal.keep_will(session, will, 9, NOW + 4)
    restored = await restart(disk, journal)
    ((sender, back, delay_s, due_at),) = restored.wills
    assert (sender.client_id, delay_s, due_at) == (session.client_id, 9, NOW + 4)
    assert picture_of_publish(back) == picture_of_publish(will)
    grant = sender.grant
    assert (grant.identity, grant.device, grant.credential) == (session.grant.identity, 17, 9)
    assert restored.sessions == []


async def test_the_sender_of_a_will_is_its_session_and_may_publish_just_that(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("a")
    journal.keep_session(session)
    journal.keep_will(session, Publish("up/gone", b"x"), 0, 0)
    restored = await restart(disk, journal)
    sender = restored.wills[0][0]
    assert sender is restored.sessions[0]
    assert sender.grant.may_publish("up/gone")
    assert not sender.grant.may_publish("up/other")


async def test_a_will_of_another_identity_is_not_sent_as_the_session_that_came_after(
    disk: Disk,
) -> None:
    journal = make_journal(disk)
    session = make_session("a")
    journal.keep_session(session)
    other = make_session("a")
    other.grant = Grant("account:5", ["#"], [])
    journal.keep_will(other, Publish("gone", b"x"), 0, NOW)
    restored = await restart(disk, journal)
    assert restored.wills[0][0] is not restored.sessions[0]
    assert restored.wills[0][0].grant.identity == "account:5"
    assert restored.sessions[0].grant.publish == []


async def test_retained_messages_come_back_with_their_expiry(disk: Disk) -> None:
    journal = make_journal(disk)
    first = Publish("a/😀", b"\xff\x00", 2, True, properties=EVERYTHING)
    journal.keep_retained(Publish("a/😀", b"older", 1, True), 5)
    journal.keep_retained(first, NOW + 1)
    journal.keep_retained(Publish("b", b"b", 0, True), 0)
    journal.keep_retained(Publish("c", b"c", 0, True), 0)
    assert await journal.flush(5)
    journal.keep_retained(Publish("c", b"", 0, True), 0)
    restored = await restart(disk, journal)
    assert picture_of(restored)["retained"] == {
        "a/😀": (picture_of_publish(first), NOW + 1),
        "b": (picture_of_publish(Publish("b", b"b", 0, True)), 0),
    }


async def test_what_came_by_a_shared_subscription_is_told(disk: Disk) -> None:
    journal = make_journal(disk)
    session = make_session("a")
    journal.keep_session(session)
    shared = Outgoing(Publish("t", b"1", 1), 1, False, None, 0, None, SharedGroup())
    journal.keep_outgoing(session, make_outgoing(Publish("t", b"0", 1)))
    journal.keep_outgoing(session, shared)
    restored = await restart(disk, journal)
    ((member, back),) = restored.shared
    assert member is restored.sessions[0]
    assert back is member.queue[1]
    assert picture_of_outgoing(back) == picture_of_outgoing(shared)


DAMAGE = {
    "a session's expiry": "UPDATE mqtt_sessions SET expiry_interval = 'soon' WHERE client_id = 'b'",
    "a session's name": "UPDATE mqtt_sessions SET client_id = CAST(x'ff' AS TEXT) "
    "WHERE client_id = 'b'",
    "a session that is missing": "DELETE FROM mqtt_sessions WHERE client_id = 'b'",
    "a filter": "UPDATE mqtt_subscriptions SET topic_filter = CAST(x'c3' AS TEXT) "
    "WHERE session = 2",
    "an option": "UPDATE mqtt_subscriptions SET qos = 3 WHERE session = 2",
    "a property": "UPDATE mqtt_messages SET properties = x'02ff' WHERE topic = 'b'",
    "properties with a rest": "UPDATE mqtt_messages SET properties = x'0000' WHERE topic = 'b'",
    "a payload": "UPDATE mqtt_messages SET payload = 7 WHERE topic = 'b'",
    "a message that is missing": "DELETE FROM mqtt_messages WHERE topic = 'b'",
    "a state": "UPDATE mqtt_outgoing SET state = 2 WHERE session = 2",
    "a state without packet id": "UPDATE mqtt_outgoing SET packet_id = 0 WHERE session = 2",
    "a packet id": "UPDATE mqtt_outgoing SET packet_id = 65536 WHERE session = 2",
    "an identifier": "UPDATE mqtt_outgoing SET subscription_ids = x'0b' WHERE session = 2",
    "a received packet id": "UPDATE mqtt_received SET packet_id = 0 WHERE session = 2",
    "a retained QoS": "UPDATE mqtt_retained SET qos = 9 WHERE topic = 'b'",
    "a retained topic": "UPDATE mqtt_retained SET topic = CAST(x'ff' AS TEXT) WHERE topic = 'b'",
    "a will's time": "UPDATE mqtt_wills SET due_at = -1 WHERE client_id = 'b'",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_damage_costs_what_is_damaged_and_one_line_of_log(disk: Disk, damage: str) -> None:
    journal = make_journal(disk)
    whole: dict[str, Any] = {}
    for name in "abc":
        session = make_session(name)
        journal.keep_session(session)
        subscription = Subscription(name, 1)
        session.subscriptions[name] = (subscription, 0)
        journal.keep_subscription(session, subscription, 0)
        outgoing = make_outgoing(Publish(name, b"x", 1, properties=EVERYTHING))
        outgoing.packet_id, outgoing.state = 4, WAIT_PUBACK
        journal.keep_outgoing(session, give(session, outgoing))
        session.received[9] = None  # type: ignore[assignment]  # only its key is compared
        journal.keep_received(session, 9)
        journal.keep_retained(Publish(name, b"x", 1, True), 0)
        journal.keep_will(session, Publish(name, b"x", 1), 0, NOW)
        whole[name] = picture_of_session(session)
    assert await journal.flush(5)
    await execute(disk, damage)

    again = make_journal(disk)
    with capture_logs() as logs:
        restored = await again.load(NOW)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    found = picture_of(restored)
    for name in "ac":
        assert found["sessions"][name] == whole[name]
        assert name in found["retained"]
        assert name in found["wills"]
    lost = [
        name not in found["sessions"] or found["sessions"][name] != whole[name] for name in "b"
    ] + ["b" not in found["retained"], "b" not in found["wills"]]
    assert sum(lost) == 1

    # The client comes back as if it were new, and nothing is in its way.
    if "b" not in found["sessions"]:
        fresh = make_session("b")
        again.keep_session(fresh)
        again.keep_outgoing(fresh, give(fresh, make_outgoing(Publish("b", b"new", 1))))
        later = await restart(disk, again)
        assert picture_of(later)["sessions"]["b"] == picture_of_session(fresh)


async def test_rows_that_nobody_can_use_are_swept(disk: Disk) -> None:
    journal = make_journal(disk)
    for name in "ab":
        session = make_session(name)
        journal.keep_session(session)
        journal.keep_outgoing(session, make_outgoing(Publish(name, b"x", 1)))
        journal.keep_subscription(session, Subscription(name), 0)
        journal.keep_received(session, 1)
    assert await journal.flush(5)
    await execute(disk, "DELETE FROM mqtt_sessions WHERE client_id = 'a'")
    again = make_journal(disk)
    await again.load(NOW)
    assert await again.flush(5)
    for table in ("outgoing", "messages", "subscriptions", "received"):
        assert len(await rows(disk, f"mqtt_{table}")) == 1, table
    with capture_logs() as logs:
        await make_journal(disk).load(NOW)
    assert logs == []
