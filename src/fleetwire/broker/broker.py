"""Broker: what the server remembers and decides between packets.

Theory of operation. The edge hands in legal packets of one connection, many at a time, and the
present time; the broker answers by writing bytes to links and by handing deliveries to takers.
A PUBLISH finds its route (everyone who takes its Topic Name) in a cache, its permission in the
sender's grant, and costs no look-up of anything else; a run of messages of one topic is looked at
once. Its acknowledgement leaves at once if only connected clients take the message; else it is a
ticket, released by the takers of the house, and by the journal for what must survive.

`now` is always in microseconds UTC.

Does not: read sockets, clocks or settings; log (the edge is told what it should know by return
values). How messages reach sessions is the courier's.
"""

from collections.abc import Callable, Iterable

from fleetwire.broker.courier import SECOND, Courier, as_message, expires_at_of
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import Journal, NoJournal
from fleetwire.broker.limits import Limits as Limits
from fleetwire.broker.link import InboundTicket, Link
from fleetwire.broker.retained import RetainedMessages
from fleetwire.broker.session import (
    QOS0_UNKNOWABLE,
    Outgoing,
    Receipt,
    Session,
    TopicAliases,
)
from fleetwire.broker.stats import Stats
from fleetwire.broker.subscriptions import Route, SubscriptionTree, Target
from fleetwire.broker.takers import Taker
from fleetwire.broker.wills import Wills
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_puback, encode_suback, encode_unsuback
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.packets import (
    Ack,
    Connect,
    Properties,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from fleetwire.protocol.topics import check_topic_filter, split_shared

NEVER = 0xFFFFFFFF  # a Session Expiry Interval that does not end (MQTT 5.0 §3.1.2.11.2)
TOPIC_ALIASES = 64  # from us to one client, however many it would take; each keeps a name alive
SYS = "$SYS/"


class Opened:
    """What CONNECT led to. `reason_code` 0 = accepted, and then there is a session."""

    __slots__ = ("displaced", "reason", "reason_code", "session", "session_present")

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


class Broker:
    """All sessions, subscriptions and retained messages of one server."""

    def __init__(
        self, limits: Limits, refusals: Taker | None = None, journal: Journal | None = None
    ) -> None:
        self.limits = limits
        self.stats = Stats()
        self.sessions: dict[str, Session] = {}
        self.tree = SubscriptionTree()
        self.retained = RetainedMessages(limits.retained_messages)
        self.wills = Wills()
        self.journal = journal if journal is not None else NoJournal()
        self.courier = Courier(limits, self.stats, self.journal)
        # Takes what clients may not publish, so that it is recorded and not silently dropped.
        self.refusals = refusals
        self._house = Session("", Grant("system", [], []))

    # --- sessions ---

    def restore(
        self,
        sessions: Iterable[Session],
        retained: Iterable[tuple[Publish, int]],
        wills: Iterable[tuple[Session, Publish, int, int]],
        now: int,
    ) -> None:
        """Take up what the journal has kept: `wills` are (sender, Will, delay in s, due_at)."""
        for session in sessions:
            session.journal = self.journal
            self.sessions[session.client_id] = session
            for subscription, identifier in session.subscriptions.values():
                self.tree.subscribe(session, subscription, identifier)
        for publish, expires_at in retained:
            self.retained.store(publish, expires_at)
        for sender, will, delay_s, due_at in wills:
            self.wills.add(sender, will, due_at or now + delay_s * SECOND)

    def open(self, link: Link, connect: Connect, client_id: str, grant: Grant, now: int) -> Opened:
        """Open or resume the session of `client_id` on this link (MQTT 5.0 §3.1.4).

        The caller writes CONNACK next and then calls `resume`.
        """
        session = self.sessions.get(client_id)
        displaced: Link | None = None
        if session is not None and session.grant.identity != grant.identity:
            if session.link is not None:
                # Somebody else's Client Identifier: taking it over would let anyone end anyone's
                # connection.
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
            session = Session(client_id, grant)
            session.journal = self.journal
            self.sessions[client_id] = session
        self._take_grant(session, grant)
        session.link = link
        session.disconnected_at = 0
        was_kept = session.is_persistent
        session.expiry_interval = self._expiry_interval(connect)
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
        if session.is_persistent:
            self.journal.keep_session(session)
        elif was_kept:
            self.journal.drop_session(session)  # it ends with this connection, in any case
        self._take_will(session, connect.will)
        self.stats.connections += 1
        return Opened(session, present, displaced=displaced)

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

    def _take_grant(self, session: Session, grant: Grant) -> None:
        """Note who the client is now; what it may not have any more is taken from the session."""
        former = session.grant
        session.grant = grant
        if former is grant or former.subscribe == grant.subscribe:
            return
        for topic_filter in list(session.subscriptions):
            if not _may_have(session, topic_filter):
                self._unsubscribe(session, topic_filter)
        self.courier.forget_forbidden(session)

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

    def _expiry_interval(self, connect: Connect) -> int:
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
            if session.link is not None or session.expiry_interval == NEVER:
                continue
            if session.disconnected_at + session.expiry_interval * SECOND <= now:
                self._end(session, "the session expired", now)
        for kept in self.retained.remove_expired(now):
            self._journal_retained(Publish(kept.publish.topic_name, b""), 0)

    def take_overflowed(self) -> list[tuple[Session, int]]:
        """Return the sessions whose queue had no room since the last call, with how much it was."""
        overflowed = self.courier.overflowed
        if not overflowed:
            return []
        found = [(session, session.dropped) for session in overflowed]
        for session in overflowed:
            session.dropped = 0
        overflowed.clear()
        return found

    # --- packets of a connected client ---

    def publish(self, session: Session, publishes: list[Publish], now: int) -> None:
        """Carry out a run of PUBLISH packets of one client, in order."""
        link = session.link
        count = len(publishes)
        self.stats.messages_received += count
        session.messages_received += count
        topic_name: str | None = None
        may_publish = False
        route: Route | None = None
        index = 0
        while index < count:
            publish = publishes[index]
            index += 1
            if publish.topic_name is not topic_name or route is None:
                topic_name = publish.topic_name
                may_publish = (
                    session.grant.may_publish(topic_name)
                    and topic_name.count("/") < self.limits.topic_levels
                )
                route = self.tree.find(topic_name)
            if publish.packet_id and link is not None:
                if publish.qos == 1:
                    if not may_publish or publish.properties is not None or publish.retain:
                        self._publish_with_care(session, link, publish, route, may_publish, now)
                    else:
                        self._publish_qos1(session, link, publish, route, now)
                elif publish.packet_id in session.received:
                    # [MQTT-4.3.3-10] Seen before: answer again, deliver nothing again.
                    _answer_again(session.received[publish.packet_id], link)
                else:
                    self._publish_with_care(session, link, publish, route, may_publish, now)
                continue
            if (
                not may_publish
                or publish.retain
                or publish.qos
                or publish.properties is not None
                or route.groups
            ):
                self._publish_with_care(session, None, publish, route, may_publish, now)
                continue
            if not route.targets:
                for taker in route.takers:
                    taker.take(Delivery(publish, session, now, None))
                continue
            # A run of plain messages of one topic is one frame for everyone.
            first = index - 1
            while index < count:
                publish = publishes[index]
                if (
                    publish.topic_name is not topic_name
                    or publish.qos
                    or publish.retain
                    or publish.properties is not None
                ):
                    break
                index += 1
            run = publishes if index - first == count else publishes[first:index]
            self.courier.send_plain(session, run, route.targets)
            for taker in route.takers:
                for publish in run:
                    taker.take(Delivery(publish, session, now, None))

    def _publish_qos1(
        self, session: Session, link: Link, publish: Publish, route: Route, now: int
    ) -> None:
        """The everyday QoS 1 message: permitted, not retained, without properties."""
        ticket: InboundTicket | None = None
        taken = 0
        if route.takers:
            ticket = InboundTicket(link, publish.packet_id, 1, session)
            link.acks.append(ticket)
            for taker in route.takers:
                if taker.holds_tickets:
                    ticket.outstanding += 1
                    taker.take(Delivery(publish, session, now, ticket))
                else:
                    taker.take(Delivery(publish, session, now, None))
            taken = len(route.takers)
        courier = self.courier
        if route.targets or route.groups:
            taken += courier.deliver(session, publish, route, now)
        if ticket is None:
            if taken and not link.acks and not courier.kept:
                if link.output:
                    link.output.append((0x40020000 | publish.packet_id).to_bytes(4, "big"))
                else:
                    link.write(encode_puback(publish.packet_id))
                link.acknowledged += 1
                return
            ticket = InboundTicket(link, publish.packet_id, 1, session)
            link.acks.append(ticket)
        self._finish(ticket, taken)

    def _publish_with_care(
        self,
        session: Session,
        link: Link | None,
        publish: Publish,
        route: Route,
        may_publish: bool,
        now: int,
    ) -> None:
        """Any message. `link` None: nobody waits for an acknowledgement."""
        ticket: InboundTicket | None = None
        courier = self.courier
        if link is not None:
            ticket = InboundTicket(link, publish.packet_id, publish.qos, session)
            link.acks.append(ticket)
            if publish.qos == 2:
                session.received[publish.packet_id] = ticket
                if session.is_persistent:
                    self.journal.keep_received(session, publish.packet_id)
                    courier.kept = True
        refusal = self._refusal(session, publish, may_publish)
        if refusal is not None:
            self._refuse(session, publish, ticket, refusal[0], refusal[1], now)
            return
        if publish.retain and self._retain(publish, now):
            courier.kept = True
        taken = 0
        for taker in route.takers:
            delivery = Delivery(publish, session, now, None)
            if ticket is not None and taker.holds_tickets:
                ticket.outstanding += 1
                delivery.ticket = ticket
            taker.take(delivery)
            taken += 1
        if route.targets or route.groups:
            taken += courier.deliver(session, publish, route, now)
        if ticket is None:
            courier.kept = False
        else:
            self._finish(ticket, taken)

    def _finish(self, ticket: InboundTicket, taken: int) -> None:
        """Answer a ticket that nobody holds, once what it stands for is stored."""
        link = ticket.link
        if taken == 0 and link is not None and link.version == c.V5:
            ticket.reason_code = c.NO_MATCHING_SUBSCRIBERS
        if self.courier.kept:
            self.courier.kept = False
            ticket.outstanding += 1
            self.journal.hold(ticket)
        elif ticket.outstanding == 0:
            ticket.settle()

    def _refusal(
        self, session: Session, publish: Publish, may_publish: bool
    ) -> tuple[int, str] | None:
        """Return (reason code, reason) if a message may not pass."""
        limits = self.limits
        if not may_publish:
            if publish.topic_name.count("/") >= limits.topic_levels:
                return c.TOPIC_NAME_INVALID, f"the topic has over {limits.topic_levels} levels"
            return c.NOT_AUTHORIZED, f"{session.grant.identity} may not publish to this topic"
        if limits.payload_bytes and len(publish.payload) > limits.payload_bytes:
            return (
                c.QUOTA_EXCEEDED,
                f"a payload of {len(publish.payload)} bytes; {limits.payload_bytes} are accepted",
            )
        properties = publish.properties
        if properties and properties.get(c.PAYLOAD_FORMAT_INDICATOR) == 1:
            try:
                publish.payload.decode()
            except UnicodeDecodeError:
                return c.PAYLOAD_FORMAT_INVALID, "the payload is not the UTF-8 text it claims to be"
        return None

    def _refuse(
        self,
        session: Session,
        publish: Publish,
        ticket: InboundTicket | None,
        reason_code: int,
        reason: str,
        now: int,
    ) -> None:
        """Record a message that may not pass, and tell its sender in its protocol's words."""
        self.stats.messages_refused += 1
        if ticket is not None:
            ticket.reason_code = reason_code
        if self.refusals is not None:
            if ticket is not None:
                ticket.outstanding += 1
            self.refusals.take(Delivery(publish, session, now, ticket, reason))
        if self.courier.kept and ticket is not None:
            ticket.outstanding += 1
            self.journal.hold(ticket)
        elif ticket is not None and ticket.outstanding == 0:
            ticket.settle()
        self.courier.kept = False
        link = session.link
        if link is None or link.version == c.V5:
            return
        if self.limits.denied_publish_disconnects:
            link.close(reason_code, "not authorized to publish")
        else:
            self._tell_error(session, f"PUBLISH to {publish.topic_name!r}: {reason}", now)

    def _tell_error(self, session: Session, line: str, now: int) -> None:
        """Publish a line for a client whose protocol has no place for a reason."""
        topic_name = error_topic(session.client_id)
        if topic_name:
            self.publish_own(Publish(topic_name, line[:1000].encode()), now)

    def _retain(self, publish: Publish, now: int) -> bool:
        """Keep a retained message; return whether the journal was told."""
        message = as_message(publish)
        expires_at = expires_at_of(publish.properties, now)
        if not self.retained.store(message, expires_at):
            self.stats.messages_dropped += 1
            return False
        return self._journal_retained(message, expires_at)

    def _journal_retained(self, message: Publish, expires_at: int) -> bool:
        if message.topic_name.startswith(SYS):
            return False  # what the house says of itself is said anew after a start
        self.journal.keep_retained(message, expires_at)
        return True

    def forget_retained(self, topic_name: str) -> bool:
        """Remove a retained message; return whether there was one."""
        if not self.retained.remove(topic_name):
            return False
        self._journal_retained(Publish(topic_name, b""), 0)
        return True

    def uncongested(self, session: Session, now: int) -> None:
        """The far side reads again."""
        self.courier.pump(session, now)

    def acknowledge(self, session: Session, acks: list[Ack], now: int) -> None:
        """Carry out a run of PUBACK, PUBREC, PUBREL and PUBCOMP packets of one client."""
        self.courier.acknowledge(session, acks, now)

    # --- subscriptions ---

    def subscribe(self, session: Session, packet: Subscribe, now: int) -> list[tuple[str, int]]:
        """Carry out SUBSCRIBE, write SUBACK and then retained messages.

        Returns each Topic Filter with its reason code, for those who watch.
        """
        link = session.link
        if link is None:
            return []
        identifier = _subscription_identifier(packet.properties)
        outcome: list[tuple[str, int]] = []
        retained: list[Subscription] = []
        for subscription in packet.subscriptions:
            topic_filter = subscription.topic_filter
            code = self._may_subscribe(session, subscription)
            if code < 0x80:
                is_new = self.tree.subscribe(session, subscription, identifier)
                session.subscriptions[topic_filter] = (subscription, identifier)
                if session.is_persistent:
                    self.journal.keep_subscription(session, subscription, identifier)
                # MQTT 5.0 §3.3.1.3: Retain Handling 0 always, 1 for a new subscription, 2 never;
                # and never for a shared one.
                handling = subscription.retain_handling
                if (handling == 0 or (handling == 1 and is_new)) and not _is_shared(topic_filter):
                    retained.append(subscription)
            outcome.append((topic_filter, code))
        codes = [code if link.version == c.V5 or code < 0x80 else 0x80 for _, code in outcome]
        suback = encode_suback(packet.packet_id, codes, None, link.version)

        def answer() -> None:
            link.write(suback)
            for subscription in retained:
                self._send_retained(session, link, subscription, identifier, now)

        if session.is_persistent:
            self.journal.when_stored(answer)
        else:
            answer()
        return outcome

    def _may_subscribe(self, session: Session, subscription: Subscription) -> int:
        try:
            topic_filter = split_shared(subscription.topic_filter)[1]
            check_topic_filter(subscription.topic_filter, self.limits.topic_levels)
            check_topic_filter(topic_filter, self.limits.topic_levels)
        except InvalidTopicError:
            return c.TOPIC_FILTER_INVALID
        if not _may_have(session, subscription.topic_filter):
            return c.NOT_AUTHORIZED
        if (
            len(session.subscriptions) >= self.limits.subscriptions
            and subscription.topic_filter not in session.subscriptions
        ):
            return c.QUOTA_EXCEEDED
        return subscription.qos

    def _send_retained(
        self, session: Session, link: Link, subscription: Subscription, identifier: int, now: int
    ) -> None:
        if session.link is not link:
            return
        target = Target(session, subscription, identifier, False)
        may_receive = session.grant.may_receive
        for kept in self.retained.find(subscription.topic_filter, now):
            if may_receive(kept.publish.topic_name):
                self.courier.send_retained(
                    session, link, target, kept.publish, kept.expires_at, now
                )
        self.courier.kept = False  # nobody's acknowledgement stands for these

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        """Carry out UNSUBSCRIBE and write UNSUBACK."""
        link = session.link
        codes = []
        for topic_filter in packet.topic_filters:
            found = self._unsubscribe(session, topic_filter)
            codes.append(0 if found else c.NO_SUBSCRIPTION_EXISTED)
        if link is None:
            return
        unsuback = encode_unsuback(packet.packet_id, codes, None, link.version)
        if session.is_persistent:
            self.journal.when_stored(lambda: link.write(unsuback))
        else:
            link.write(unsuback)

    def _unsubscribe(self, session: Session, topic_filter: str) -> bool:
        if session.subscriptions.pop(topic_filter, None) is None:
            return False
        self.tree.unsubscribe(session, topic_filter)
        if session.is_persistent:
            self.journal.drop_subscription(session, topic_filter)
        return True

    # --- the house's own messages ---

    def publish_own(self, publish: Publish, now: int) -> int:
        """Publish for the house; return how many clients' queues and watchers it entered."""
        if publish.retain:
            self._retain(publish, now)
        route = self.tree.find(publish.topic_name)
        taken = self._show(publish, route, now)
        if route.targets or route.groups:
            taken += self.courier.deliver(self._house, publish, route, now)
        self.courier.kept = False
        return taken

    def _show(self, publish: Publish, route: Route, now: int) -> int:
        """Let those look on who do; what the house says is not ingested by the house."""
        shown = 0
        for taker in route.takers:
            if not taker.holds_tickets:
                taker.take(Delivery(publish, self._house, now, None))
                shown += 1
        return shown

    def send_to_device(
        self,
        device: int,
        publish: Publish,
        expires_at: int,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
        now: int,
    ) -> bool:
        """Publish QoS 1 to a device that is connected and subscribed, with a receipt.

        False if it is not; then nothing is sent to anybody. See `net.clients.Downlink`.
        """
        route = self.tree.find(publish.topic_name)
        receivers = [
            target
            for target in route.targets
            if target.session.link is not None and _is_device(target.session, target.exact, device)
        ]
        if not receivers:
            return False
        receipt = Receipt(delivered, lost)
        acknowledging = [target for target in receivers if target.qos]
        receipt.pending = max(1, len(acknowledging))
        others = Route()
        others.targets = [target for target in route.targets if target not in acknowledging]
        others.groups = route.groups
        self._show(publish, route, now)
        self.courier.deliver(self._house, publish, others, now)
        for target in acknowledging:
            self.courier.offer(
                target.session,
                Outgoing(publish, 1, False, target.subscription_ids, expires_at, receipt),
                now,
            )
        self.courier.kept = False
        if not acknowledging:
            receipt.lost(QOS0_UNKNOWABLE)
        return True


def error_topic(client_id: str) -> str:
    """Return where a client finds why its messages were refused; "" if its id fits no topic."""
    if not client_id or any(sign in client_id for sign in "/+#"):
        return ""
    return f"{SYS}broker/clients/{client_id}/errors"


def _may_have(session: Session, topic_filter: str) -> bool:
    """Say whether a client may have all that this filter matches; its own errors it always may."""
    asked = split_shared(topic_filter)[1]
    return session.grant.may_subscribe(asked) or topic_filter == error_topic(session.client_id)


def _answer_again(ticket: InboundTicket, link: Link) -> None:
    if ticket.outstanding == 0:
        ticket.answer(link)
    elif ticket.link is not link:
        ticket.link = link
        link.acks.append(ticket)


def _is_device(session: Session, exact: bool, device: int) -> bool:
    grant = session.grant
    return grant.device == device or (grant.anonymous and exact)


def _is_shared(topic_filter: str) -> bool:
    return topic_filter.startswith("$share/")


def _subscription_identifier(properties: Properties | None) -> int:
    found = (properties or {}).get(c.SUBSCRIPTION_IDENTIFIER)
    if isinstance(found, list) and found and isinstance(found[0], int):
        return found[0]
    return found if isinstance(found, int) else 0
