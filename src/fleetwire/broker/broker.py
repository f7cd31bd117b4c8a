"""Broker: what the server remembers and decides between packets.

Theory of operation. The edge hands in legal packets of one connection, many at a time, and the
present time; the broker answers by writing bytes to links and by handing deliveries to takers.
A PUBLISH finds its route (everyone who takes its Topic Name) in a cache, its permission in the
sender's grant, and costs no look-up of anything else (`intake`); the courier takes it to sessions
(`courier`). Its acknowledgement leaves at once if only connected clients take the message; else it
is a ticket, released by the takers of the house, and by the journal for what must survive. Here are
the sessions themselves: opened, taken over, resumed, ended; their subscriptions and Wills.

`now` is always in microseconds UTC.

Does not: read sockets, clocks or settings; log (the edge is told what it should know by return
values).
"""

from collections.abc import Callable, Iterable

from fleetwire.broker.courier import Courier
from fleetwire.broker.exchanges import Exchanges
from fleetwire.broker.frames import Frames
from fleetwire.broker.grants import Grant
from fleetwire.broker.intake import Intake
from fleetwire.broker.journal import Journal, NoJournal
from fleetwire.broker.limits import Limits as Limits
from fleetwire.broker.link import Link
from fleetwire.broker.messages import SECOND
from fleetwire.broker.retained import RetainedMessages
from fleetwire.broker.session import Outgoing, Session, TopicAliases
from fleetwire.broker.stats import Stats
from fleetwire.broker.subscribing import Subscribing
from fleetwire.broker.subscriptions import SubscriptionTree
from fleetwire.broker.takers import Taker
from fleetwire.broker.wills import Wills
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import (
    Ack,
    Connect,
    Properties,
    Publish,
    Subscribe,
    Unsubscribe,
)

NEVER = 0xFFFFFFFF  # a Session Expiry Interval that does not end (MQTT 5.0 §3.1.2.11.2)
TOPIC_ALIASES = 64  # from us to one client, however many it would take; each keeps a name alive


class Opened:
    """What CONNECT led to. `reason_code` 0 = accepted, and then there is a session."""

    __slots__ = ("displaced", "is_told_late", "reason", "reason_code", "session", "session_present")

    def __init__(
        self,
        session: Session | None,
        session_present: bool,
        reason_code: int = 0,
        reason: str = "",
        displaced: Link | None = None,
    ) -> None:
        self.session = session
        self.session_present = session_present
        self.reason_code = reason_code
        self.reason = reason
        self.displaced = displaced  # the connection that was taken over
        # A kept session was ended for this one: CONNACK says so, and so waits until that is stored.
        self.is_told_late = False


class Broker:
    """All sessions, subscriptions and retained messages of one server."""

    def __init__(
        self, limits: Limits, refusals: Taker | None = None, journal: Journal | None = None
    ) -> None:
        self.limits = limits
        self.stats = Stats()
        self.sessions: dict[str, Session] = {}
        self.tree = SubscriptionTree()
        self.wills = Wills()
        self.journal = journal if journal is not None else NoJournal()
        self.retained = RetainedMessages(
            limits.retained_messages, limits.retained_bytes, self.journal
        )
        frames = Frames()
        self.exchanges = Exchanges(limits, self.stats, self.journal, frames)
        self.courier = Courier(self.stats, frames, self.exchanges, self.retained)
        self.subscribing = Subscribing(
            limits, self.tree, self.courier, self.exchanges, self.journal
        )
        self.intake = Intake(
            limits,
            self.stats,
            self.tree,
            self.retained,
            self.courier,
            self.exchanges,
            self.journal,
            refusals,
        )

    # --- sessions ---

    def restore(
        self,
        sessions: Iterable[Session],
        retained: Iterable[tuple[Publish, int]],
        wills: Iterable[tuple[Session, Publish, int, int]],
        now: int,
        shared: Iterable[tuple[Session, Outgoing]] = (),
    ) -> None:
        """Take up what the journal has kept.

        `wills` are (sender, Will, delay in s, due_at), `shared` the messages of a session that came
        by one of its shared subscriptions.
        """
        for session in sessions:
            session.journal = self.journal
            for outgoing in session.inflight.values():
                session.inflight_bytes += outgoing.size
            self.sessions[session.client_id] = session
            for subscription, identifier in session.subscriptions.values():
                self.tree.subscribe(session, subscription, identifier)
        for session, outgoing in shared:
            for group in self.tree.find(outgoing.publish.topic_name).groups:
                if session in group.members:
                    outgoing.group = group
                    break
        for publish, expires_at in retained:
            self.retained.restore(publish, expires_at)
        for sender, will, delay_s, due_at in wills:
            self.wills.add(sender, will, due_at or now + delay_s * SECOND)

    def open(self, link: Link, connect: Connect, client_id: str, grant: Grant, now: int) -> Opened:
        """Open or resume the session of `client_id` on this link (MQTT 5.0 §3.1.4).

        The caller writes CONNACK next and then calls `resume`.
        """
        session = self.sessions.get(client_id)
        if session is not None and _is_over(session, now):
            self.stats.sessions_expired += 1
            self._end(session, "the session expired", now)
            session = None
        had_kept = session is not None and session.is_persistent
        displaced: Link | None = None
        if session is not None and session.grant.identity != grant.identity:
            if session.link is not None or not session.grant.anonymous:
                # Somebody else's Client Identifier: taking it over would let anyone end anyone's
                # connection, or have the queue that waits for him deleted.
                return Opened(
                    None,
                    False,
                    c.CLIENT_IDENTIFIER_NOT_VALID,
                    f"client id {client_id!r} is in use by another identity",
                )
            self._end(session, "session of another identity", now)
            session = None
        if session is not None and session.link is not None:
            displaced = self._displace(session, session.link, connect.clean_start, now)
            if self.sessions.get(client_id) is not session:
                session = None
        if session is not None and connect.clean_start:
            self._end(session, "clean start", now)
            session = None
        # [MQTT-3.1.3-9] Back before it was due, the client keeps its delayed Will unsaid.
        if self.wills.take(client_id) is not None and session is not None:
            self.journal.drop_will(session)
        present = session is not None
        if session is None:
            if len(self.sessions) >= self.limits.sessions:
                return Opened(
                    None, False, c.QUOTA_EXCEEDED, f"there are {self.limits.sessions} sessions"
                )
            session = Session(client_id, grant)
            session.journal = self.journal
            self.sessions[client_id] = session
        self._take_grant(session, grant)
        session.link = link
        session.disconnected_at = 0
        was_kept = session.is_persistent
        session.expiry_interval = self.expiry_interval(connect)
        properties = connect.properties or {}
        session.window = self._window(properties)
        limit = properties.get(c.MAXIMUM_PACKET_SIZE, 0)
        session.maximum_packet_size = limit if isinstance(limit, int) else 0
        aliases = properties.get(c.TOPIC_ALIAS_MAXIMUM, 0)
        session.topic_aliases = (
            TopicAliases(min(aliases, TOPIC_ALIASES))
            if isinstance(aliases, int) and aliases
            else None
        )
        session.is_special = bool(session.maximum_packet_size) or session.topic_aliases is not None
        if session.is_persistent:
            self.journal.keep_session(session)
        elif was_kept:
            self.journal.drop_session(session)  # it ends with this connection, in any case
        self._take_will(session, connect.will)
        self.stats.connections += 1
        opened = Opened(session, present, displaced=displaced)
        opened.is_told_late = had_kept and not present
        return opened

    def _displace(self, session: Session, displaced: Link, clean_start: bool, now: int) -> Link:
        """End the older connection: the newer one takes its session, if it outlives it."""
        self.stats.takeovers += 1
        will = session.will
        session.link = None
        session.will = None
        self.courier.hand_over(session, now)
        # [MQTT-3.1.4-3] The older connection is closed with 0x8E; that ended without its
        # DISCONNECT, so its Will goes out [MQTT-3.1.2-8], unless it has a delay and the session
        # goes on [MQTT-3.1.3-9].
        if will is not None:
            self.journal.drop_will(session)
            if clean_start or not session.is_persistent or session.will_delay_s == 0:
                self.publish(session, [will], now)
        displaced.close(c.SESSION_TAKEN_OVER, "taken over by a newer connection")
        if not session.is_persistent:
            # [MQTT-3.1.2-6] [MQTT-3.1.2-23] What ended with its connection is not taken up again.
            self._end(session, "the connection ended and the session with it", now)
        return displaced

    def regrant(self, session: Session, grant: Grant) -> None:
        """Note what a connected client may do from now on (re-authentication, MQTT 5.0 §4.12.1)."""
        self._take_grant(session, grant)
        if session.is_persistent:
            self.journal.keep_session(session)

    def _take_grant(self, session: Session, grant: Grant) -> None:
        """Note who the client is now; what it may not have any more is taken from the session."""
        former = session.grant
        session.grant = grant
        if former is grant or former.subscribe == grant.subscribe:
            return
        self.subscribing.drop_forbidden(session)
        self.exchanges.forget_forbidden(session)

    def _take_will(self, session: Session, will: Publish | None) -> None:
        session.will = will
        session.will_delay_s = 0
        if will is None:
            return
        delay = (will.properties or {}).get(c.WILL_DELAY_INTERVAL, 0)
        if isinstance(delay, int) and delay:
            session.will_delay_s = delay
        if will.properties and c.WILL_DELAY_INTERVAL in will.properties:
            properties = dict(will.properties)
            del properties[c.WILL_DELAY_INTERVAL]  # it is no property of a PUBLISH
            session.will = will = Publish(
                will.topic_name, will.payload, will.qos, will.retain, properties=properties or None
            )
        self.journal.keep_will(session, will, session.will_delay_s, 0)

    def expiry_interval(self, connect: Connect) -> int:
        """Return for how long the session of this CONNECT outlives its connection, in seconds."""
        limit = self.limits.session_expiry_s
        if connect.protocol_version < c.V5:
            return 0 if connect.clean_start else limit
        asked = (connect.properties or {}).get(c.SESSION_EXPIRY_INTERVAL, 0)
        assert isinstance(asked, int)
        return min(asked, limit)

    def _window(self, properties: Properties) -> int:
        asked = properties.get(c.RECEIVE_MAXIMUM, 0)
        assert isinstance(asked, int)
        return min(asked, self.limits.window) if asked else self.limits.window

    def resume(self, session: Session, now: int) -> None:
        """Send again what was not acknowledged, then what has waited [MQTT-4.4.0-1]."""
        self.courier.resume(session, now)

    def close(self, session: Session, link: Link, *, with_will: bool, now: int) -> bool:
        """End a connection; the session lives on for its expiry. Return whether a Will went out.

        Called once for each opened link, also for one that was taken over.
        """
        link.acks.clear()
        will = session.will
        if session.link is not link:
            return False  # taken over; the newer connection owns the session and its Will
        session.link = None
        session.will = None
        session.disconnected_at = now
        sent = False
        if will is not None:
            if not with_will:
                self.journal.drop_will(session)  # [MQTT-3.1.2-10]
            elif session.will_delay_s and session.is_persistent:
                due_at = now + min(session.will_delay_s, session.expiry_interval) * SECOND
                self.wills.add(session, will, due_at)
                self.journal.keep_will(session, will, session.will_delay_s, due_at)
            else:
                sent = True
                self.publish(session, [will], now)
                self.journal.drop_will(session)
        self.courier.hand_over(session, now)
        if session.is_persistent:
            self.journal.keep_session(session)
        else:
            self._end(session, "the connection ended and the session with it", now)
        return sent

    def change_expiry(self, session: Session, expiry_interval: int) -> None:
        """Take the Session Expiry Interval of a DISCONNECT (§3.14.2.2.2)."""
        was_kept = session.is_persistent
        session.expiry_interval = min(expiry_interval, self.limits.session_expiry_s)
        if was_kept and not session.is_persistent:
            self.journal.drop_session(session)

    def _end(self, session: Session, reason: str, now: int) -> None:
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
        delayed = self.wills.take(session.client_id)
        if delayed is not None:
            # [MQTT-3.1.3-9] The session ends before the delay does: the Will goes out now.
            self.publish(session, [delayed.will], now)
            self.journal.drop_will(session)
        self.courier.hand_over(session, now)
        for topic_filter in session.subscriptions:
            self.tree.unsubscribe(session, topic_filter)
        session.subscriptions = {}
        if session.is_persistent:
            self.journal.drop_session(session)
        session.expiry_interval = 0
        for outgoing in [*session.inflight.values(), *session.queue]:
            if outgoing.receipt is not None:
                outgoing.receipt.lost(reason)
        session.inflight = {}
        session.inflight_bytes = 0
        session.resend.clear()
        session.retained_waiting.clear()
        session.queue.clear()
        session.queue_bytes = 0
        session.received = {}

    def end(self, session: Session, reason_code: int, reason: str, now: int) -> None:
        """End a session and its connection now: its identity was revoked or removed."""
        link = session.link
        if link is not None:
            if session.will is not None:
                self.journal.drop_will(session)
            session.will = None
            session.link = None
            link.close(reason_code, reason)
        self._end(session, reason, now)

    def tick(self, now: int) -> None:
        """Let Wills go out that are due, and end what has expired; call about once a second."""
        for delayed in self.wills.take_due(now):
            self.publish(delayed.sender, [delayed.will], now)
            self.journal.drop_will(delayed.sender)
        for session in list(self.sessions.values()):
            if _is_over(session, now):
                self.stats.sessions_expired += 1
                self._end(session, "the session expired", now)
        self.retained.remove_expired(now)

    def take_overflowed(self) -> list[tuple[Session, int]]:
        """Return the sessions whose queue had no room since the last call, with how much it was."""
        overflowed = self.exchanges.overflowed
        if not overflowed:
            return []
        found = [(session, session.dropped) for session in overflowed]
        for session in overflowed:
            session.dropped = 0
        overflowed.clear()
        return found

    # --- messages ---

    def publish(self, session: Session, publishes: list[Publish], now: int) -> None:
        """Carry out a run of PUBLISH packets of one client, in order."""
        self.intake.publish(session, publishes, now)

    def publish_own(self, publish: Publish, now: int) -> int:
        """Publish for the house; return how many clients' queues and watchers it entered."""
        return self.intake.publish_own(publish, now)

    def send_to_device(
        self,
        device: int,
        publish: Publish,
        expires_at: int,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
        now: int,
    ) -> bool:
        """Publish QoS 1 to a device that is connected and subscribed; see `Intake`."""
        return self.intake.send_to_device(device, publish, expires_at, delivered, lost, now)

    def uncongested(self, session: Session, now: int) -> None:
        """The far side reads again."""
        self.courier.pump(session, now)

    def acknowledge(self, session: Session, acks: list[Ack], now: int) -> None:
        """Carry out a run of PUBACK, PUBREC, PUBREL and PUBCOMP packets of one client."""
        self.courier.acknowledge(session, acks, now)

    # --- subscriptions ---

    def subscribe(self, session: Session, packet: Subscribe, now: int) -> list[tuple[str, int]]:
        """Carry out SUBSCRIBE; return each Topic Filter with its reason code."""
        return self.subscribing.subscribe(session, packet, now)

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        """Carry out UNSUBSCRIBE and write UNSUBACK."""
        self.subscribing.unsubscribe(session, packet)


def _is_over(session: Session, now: int) -> bool:
    """Say whether a session's expiry has passed."""
    if session.link is not None or session.expiry_interval == NEVER:
        return False
    return session.disconnected_at + session.expiry_interval * SECOND <= now
