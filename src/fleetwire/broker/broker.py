"""Broker: what the server remembers and decides between packets.

Theory of operation. The edge hands in legal packets of one connection, many at a time, and the
present time; the broker answers by writing bytes to links and by handing deliveries to takers.
A PUBLISH finds its route (everyone who takes its Topic Name) in a cache, its permission in the
sender's grant, and costs no look-up of anything else. Its acknowledgement is a ticket: released at
once if only clients take the message, by the taker if the house does.

`now` is always in microseconds UTC.

Does not: read sockets, clocks or settings; keep state over a restart; serve shared subscriptions or
Will Delay (CONNACK and SUBACK say so); log (the edge is told what it should know by return values).
"""

from collections.abc import Callable

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.link import InboundTicket, Link
from fleetwire.broker.retained import RetainedMessages
from fleetwire.broker.session import (
    QOS0_UNKNOWABLE,
    WAIT_PUBACK,
    WAIT_PUBCOMP,
    WAIT_PUBREC,
    Outgoing,
    Receipt,
    Session,
)
from fleetwire.broker.stats import Stats
from fleetwire.broker.subscriptions import Route, SubscriptionTree
from fleetwire.broker.takers import Taker
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import (
    encode_pubcomp,
    encode_publish,
    encode_pubrel,
    encode_suback,
    encode_unsuback,
)
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

SECOND = 1_000_000
NEVER = 0xFFFFFFFF  # a Session Expiry Interval that does not end (MQTT 5.0 §3.1.2.11.2)

# Properties that belong to the Network Connection or the subscription, not to the message.
_HOP_PROPERTIES = (c.TOPIC_ALIAS, c.SUBSCRIPTION_IDENTIFIER)


class Limits:
    """Bounds that keep one client from harming the others."""

    __slots__ = (
        "queue_bytes",
        "queue_messages",
        "retained_messages",
        "session_expiry_s",
        "subscriptions",
        "topic_levels",
        "window",
    )

    def __init__(
        self,
        queue_messages: int = 10_000,
        queue_bytes: int = 16 * 1024 * 1024,
        retained_messages: int = 100_000,
        session_expiry_s: int = 7 * 86_400,
        subscriptions: int = 1_000,
        topic_levels: int = 32,
        window: int = 1_000,
    ) -> None:
        self.queue_messages = queue_messages  # per session, while it cannot be sent
        self.queue_bytes = queue_bytes
        self.retained_messages = retained_messages
        self.session_expiry_s = session_expiry_s  # longest life of a session without a connection
        self.subscriptions = subscriptions  # per client
        self.topic_levels = topic_levels
        self.window = window  # in flight to a client that names no Receive Maximum


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

    def __init__(self, limits: Limits, refusals: Taker | None = None) -> None:
        self.limits = limits
        self.stats = Stats()
        self.sessions: dict[str, Session] = {}
        self.tree = SubscriptionTree()
        self.retained = RetainedMessages(limits.retained_messages)
        # Takes what clients may not publish, so that it is recorded and not silently dropped.
        self.refusals = refusals

    # --- sessions ---

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
            self._end(session, "session of another identity")
            session = None
        if session is not None and session.link is not None:
            displaced = session.link
            self.stats.takeovers += 1
            # [MQTT-3.1.4-3] The older connection is closed with 0x8E; that ended without its
            # DISCONNECT, so its Will goes out [MQTT-3.1.2-8].
            session.link = None
            if session.will is not None:
                self.publish(session, [session.will], now)
            displaced.close(c.SESSION_TAKEN_OVER, "taken over by a newer connection")
        if session is not None and connect.clean_start:
            self._end(session, "clean start")
            session = None
        present = session is not None
        if session is None:
            session = Session(client_id, grant)
            self.sessions[client_id] = session
        session.grant = grant
        session.link = link
        session.disconnected_at = 0
        session.will = connect.will
        session.expiry_interval = self._expiry_interval(connect)
        session.window = self._window(connect)
        limit = (connect.properties or {}).get(c.MAXIMUM_PACKET_SIZE, 0)
        session.maximum_packet_size = limit if isinstance(limit, int) else 0
        self.stats.connections += 1
        return Opened(session, present, displaced=displaced)

    def _expiry_interval(self, connect: Connect) -> int:
        limit = self.limits.session_expiry_s
        if connect.protocol_version < c.V5:
            return 0 if connect.clean_start else limit
        asked = (connect.properties or {}).get(c.SESSION_EXPIRY_INTERVAL, 0)
        assert isinstance(asked, int)
        return min(asked, limit)

    def _window(self, connect: Connect) -> int:
        asked = (connect.properties or {}).get(c.RECEIVE_MAXIMUM, 0)
        assert isinstance(asked, int)
        return min(asked, self.limits.window) if asked else self.limits.window

    def resume(self, session: Session, now: int) -> None:
        """Send again what was not acknowledged, then what has waited [MQTT-4.4.0-1]."""
        link = session.link
        if link is None:
            return
        for packet_id, outgoing in list(session.inflight.items()):
            if outgoing.state == WAIT_PUBCOMP:
                link.write(encode_pubrel(packet_id, 0, link.version))
            elif outgoing.expires_at and outgoing.expires_at <= now:
                self._forget(session, packet_id)
                self._expired(outgoing)
            else:
                self._send(session, link, outgoing, True, now)
        self._pump(session, now)

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
        if with_will and will is not None:
            sent = True
            self.publish(session, [will], now)
        if session.expiry_interval == 0:
            self._end(session, "the connection ended and the session with it")
        return sent

    def _end(self, session: Session, reason: str) -> None:
        if self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
        for topic_filter in session.subscriptions:
            self.tree.unsubscribe(session, topic_filter)
        session.subscriptions = {}
        for outgoing in [*session.inflight.values(), *session.queue]:
            if outgoing.receipt is not None:
                outgoing.receipt.lost(reason)
        session.inflight = {}
        session.queue.clear()
        session.queue_bytes = 0
        session.received = {}

    def end(self, session: Session, reason_code: int, reason: str) -> None:
        """End a session and its connection now: its identity was revoked or removed."""
        link = session.link
        if link is not None:
            session.will = None
            session.link = None
            link.close(reason_code, reason)
        self._end(session, reason)

    def tick(self, now: int) -> None:
        """End the sessions whose expiry has passed; call about once a second."""
        for session in list(self.sessions.values()):
            if session.link is not None or session.expiry_interval == NEVER:
                continue
            if session.disconnected_at + session.expiry_interval * SECOND <= now:
                self._end(session, "the session expired")

    # --- packets of a connected client ---

    def publish(self, session: Session, publishes: list[Publish], now: int) -> None:
        """Carry out a run of PUBLISH packets of one client, in order."""
        grant = session.grant
        link = session.link
        find = self.tree.find
        may_publish = grant.may_publish
        identity = grant.identity
        device = grant.device
        client_id = session.client_id
        stats = self.stats
        stats.messages_received += len(publishes)
        for publish in publishes:
            ticket: InboundTicket | None = None
            if publish.packet_id and link is not None:
                if publish.qos == 2:
                    ticket = session.received.get(publish.packet_id)
                    if ticket is not None:
                        # [MQTT-4.3.3-10] Seen before: answer again, deliver nothing again.
                        self._answer_again(ticket, link)
                        continue
                    ticket = InboundTicket(link, publish.packet_id, 2, session.received)
                    session.received[publish.packet_id] = ticket
                else:
                    ticket = InboundTicket(link, publish.packet_id, 1, None)
                link.acks.append(ticket)
            topic_name = publish.topic_name
            if not may_publish(topic_name):
                self._refuse(session, publish, ticket, now)
                continue
            if publish.retain:
                self._retain(publish, now)
            route = find(topic_name)
            taken = 0
            for taker in route.takers:
                delivery = Delivery(publish, client_id, identity, device, now, ticket)
                if ticket is not None:
                    if taker.holds_tickets:
                        ticket.outstanding += 1
                    else:
                        delivery.ticket = None
                taker.take(delivery)
                taken += 1
            if route.targets:
                taken += self._deliver(session, publish, route, now)
            if ticket is not None and ticket.outstanding == 0:
                if taken == 0 and ticket.link.version == c.V5:
                    ticket.reason_code = c.NO_MATCHING_SUBSCRIBERS
                ticket.settle()

    def _answer_again(self, ticket: InboundTicket, link: Link) -> None:
        if ticket.outstanding == 0:
            ticket.answer(link)
        elif ticket.link is not link:
            ticket.link = link
            link.acks.append(ticket)

    def _refuse(
        self, session: Session, publish: Publish, ticket: InboundTicket | None, now: int
    ) -> None:
        self.stats.messages_refused += 1
        grant = session.grant
        refusals = self.refusals
        if ticket is not None:
            ticket.reason_code = c.NOT_AUTHORIZED
        if refusals is None:
            if ticket is not None:
                ticket.settle()
            return
        if ticket is not None:
            ticket.outstanding += 1
        refusals.take(
            Delivery(
                publish,
                session.client_id,
                grant.identity,
                grant.device,
                now,
                ticket,
                f"{grant.identity} may not publish to this topic",
                grant.organization_id,
            )
        )

    def _retain(self, publish: Publish, now: int) -> None:
        expires_at = _expires_at(publish.properties, now)
        if not self.retained.store(_as_message(publish), expires_at):
            self.stats.messages_dropped += 1

    def _deliver(self, sender: Session | None, publish: Publish, route: Route, now: int) -> int:
        """Put a message into the queue of each target; bytes that are the same are made once."""
        frames: dict[int, bytes] = {}
        properties = publish.properties
        expires_at = _expires_at(properties, now) if properties else 0
        clean = _as_message(publish) if properties else publish
        taken = 0
        for target in route.targets:
            session = target.session
            if target.no_local and session is sender:
                continue
            taken += 1
            qos = target.qos if target.qos < publish.qos else publish.qos
            # [MQTT-3.3.1-9] RETAIN is 0 for an established subscription ...
            # [MQTT-3.3.1-13] ... unless it asked for Retain As Published.
            retain = publish.retain and target.retain_as_published
            if qos:
                self._offer(
                    session,
                    Outgoing(clean, qos, retain, target.subscription_ids, expires_at, None),
                    now,
                )
                continue
            link = session.link
            if link is None:
                continue  # QoS 0 is not kept for the absent (MQTT 5.0 §4.1)
            frame: bytes | None = None
            key = link.version + (256 if retain else 0)
            if target.subscription_ids is None:
                frame = frames.get(key)
            if frame is None:
                properties = clean.properties
                if target.subscription_ids is not None:
                    properties = _with_identifiers(properties, target.subscription_ids)
                frame = encode_publish(
                    clean.topic_name, clean.payload, 0, retain, False, 0, properties, link.version
                )
                if target.subscription_ids is None:
                    frames[key] = frame
            limit = session.maximum_packet_size
            if link.congested or (limit and len(frame) > limit):
                self.stats.messages_dropped += 1
                continue
            link.write(frame)
            self.stats.messages_sent += 1
        return taken

    def _offer(self, session: Session, outgoing: Outgoing, now: int) -> None:
        """Send now, or queue for later, or (the queue is full) drop and count."""
        link = session.link
        if (
            link is not None
            and not session.queue
            and not link.congested
            and len(session.inflight) < session.window
        ):
            self._begin(session, link, outgoing, now)
            return
        size = len(outgoing.publish.payload) + len(outgoing.publish.topic_name)
        if (
            len(session.queue) >= self.limits.queue_messages
            or session.queue_bytes + size > self.limits.queue_bytes
        ):
            self.stats.messages_dropped += 1
            if outgoing.receipt is not None:
                outgoing.receipt.lost("the client's queue is full")
            return
        session.queue.append(outgoing)
        session.queue_bytes += size

    def _begin(self, session: Session, link: Link, outgoing: Outgoing, now: int) -> None:
        packet_id = session.packet_ids.allocate()
        outgoing.packet_id = packet_id
        outgoing.state = WAIT_PUBACK if outgoing.qos == 1 else WAIT_PUBREC
        session.inflight[packet_id] = outgoing
        self._send(session, link, outgoing, False, now)

    def _send(self, session: Session, link: Link, outgoing: Outgoing, dup: bool, now: int) -> None:
        publish = outgoing.publish
        properties = publish.properties
        if properties is not None and outgoing.expires_at:
            # [MQTT-3.3.2-6] The interval passed on is what remains of it.
            properties = dict(properties)
            properties[c.MESSAGE_EXPIRY_INTERVAL] = max(1, (outgoing.expires_at - now) // SECOND)
        if outgoing.subscription_ids is not None:
            properties = _with_identifiers(properties, outgoing.subscription_ids)
        frame = encode_publish(
            publish.topic_name,
            publish.payload,
            outgoing.qos,
            outgoing.retain,
            dup,
            outgoing.packet_id,
            properties,
            link.version,
        )
        if session.maximum_packet_size and len(frame) > session.maximum_packet_size:
            # [MQTT-3.1.2-24] [MQTT-3.1.2-25] Not sent, and then as if it had been.
            self._forget(session, outgoing.packet_id)
            self.stats.messages_dropped += 1
            if outgoing.receipt is not None:
                outgoing.receipt.lost("the message is larger than the client accepts")
            return
        link.write(frame)
        self.stats.messages_sent += 1

    def _pump(self, session: Session, now: int) -> None:
        """Send from the queue while there is room."""
        link = session.link
        queue = session.queue
        while queue and link is not None and not link.congested:
            if len(session.inflight) >= session.window:
                return
            outgoing = queue.popleft()
            session.queue_bytes -= len(outgoing.publish.payload) + len(outgoing.publish.topic_name)
            if outgoing.expires_at and outgoing.expires_at <= now:
                self._expired(outgoing)
                continue
            self._begin(session, link, outgoing, now)

    def _expired(self, outgoing: Outgoing) -> None:
        self.stats.messages_expired += 1
        if outgoing.receipt is not None:
            outgoing.receipt.lost("the message expired before it was sent")

    def _forget(self, session: Session, packet_id: int) -> None:
        del session.inflight[packet_id]
        session.packet_ids.release(packet_id)

    def uncongested(self, session: Session, now: int) -> None:
        """The far side reads again."""
        self._pump(session, now)

    def acknowledge(self, session: Session, acks: list[Ack], now: int) -> None:
        """Carry out a run of PUBACK, PUBREC, PUBREL and PUBCOMP packets of one client."""
        inflight = session.inflight
        link = session.link
        if link is None:
            return
        for ack in acks:
            kind = ack.type
            packet_id = ack.packet_id
            if kind == c.PUBACK:
                outgoing = inflight.get(packet_id)
                if outgoing is not None and outgoing.state == WAIT_PUBACK:
                    self._forget(session, packet_id)
                    if outgoing.receipt is not None:
                        self._settle(outgoing.receipt, ack.reason_code)
            elif kind == c.PUBREC:
                outgoing = inflight.get(packet_id)
                if outgoing is None:
                    # Unknown to us: 5.0 says so, older versions just finish the exchange.
                    link.write(
                        encode_pubrel(packet_id, c.PACKET_IDENTIFIER_NOT_FOUND, link.version)
                    )
                elif ack.reason_code >= 0x80:
                    self._forget(session, packet_id)
                    if outgoing.receipt is not None:
                        self._settle(outgoing.receipt, ack.reason_code)
                elif outgoing.state != WAIT_PUBACK:
                    outgoing.state = WAIT_PUBCOMP
                    # [MQTT-4.3.3-4] From here on it is the packet id that counts.
                    link.write(encode_pubrel(packet_id, 0, link.version))
            elif kind == c.PUBREL:
                known = session.received.pop(packet_id, None)
                code = 0 if known is not None else c.PACKET_IDENTIFIER_NOT_FOUND
                link.write(encode_pubcomp(packet_id, code, link.version))
            else:
                outgoing = inflight.get(packet_id)
                if outgoing is not None and outgoing.state == WAIT_PUBCOMP:
                    self._forget(session, packet_id)
                    if outgoing.receipt is not None:
                        self._settle(outgoing.receipt, ack.reason_code)
        if session.queue:
            self._pump(session, now)

    def _settle(self, receipt: Receipt, reason_code: int) -> None:
        if reason_code >= 0x80:
            receipt.lost(f"the device refused it ({c.reason_name(reason_code)})")
        else:
            receipt.delivered()

    def subscribe(self, session: Session, packet: Subscribe, now: int) -> list[tuple[str, int]]:
        """Carry out SUBSCRIBE, write SUBACK and then retained messages.

        Returns each Topic Filter with its reason code, for those who watch.
        """
        link = session.link
        if link is None:
            return []
        identifier = _subscription_identifier(packet.properties)
        outcome: list[tuple[str, int]] = []
        retained: list[tuple[Subscription, bool]] = []
        for subscription in packet.subscriptions:
            code = self._may_subscribe(session, subscription)
            if code < 0x80:
                is_new = self.tree.subscribe(session, subscription, identifier)
                session.subscriptions[subscription.topic_filter] = (subscription, identifier)
                # MQTT 5.0 §3.3.1.3: Retain Handling 0 always, 1 for a new subscription, 2 never.
                handling = subscription.retain_handling
                if handling == 0 or (handling == 1 and is_new):
                    retained.append((subscription, is_new))
            outcome.append((subscription.topic_filter, code))
        codes = [code if link.version == c.V5 or code < 0x80 else 0x80 for _, code in outcome]
        link.write(encode_suback(packet.packet_id, codes, None, link.version))
        for subscription, _ in retained:
            self._send_retained(session, link, subscription, identifier, now)
        return outcome

    def _may_subscribe(self, session: Session, subscription: Subscription) -> int:
        topic_filter = subscription.topic_filter
        try:
            group, _ = split_shared(topic_filter)
            check_topic_filter(topic_filter, self.limits.topic_levels)
        except InvalidTopicError:
            return c.TOPIC_FILTER_INVALID
        if group is not None:
            return c.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not session.grant.may_subscribe(topic_filter):
            return c.NOT_AUTHORIZED
        if (
            len(session.subscriptions) >= self.limits.subscriptions
            and topic_filter not in session.subscriptions
        ):
            return c.QUOTA_EXCEEDED
        return subscription.qos

    def _send_retained(
        self, session: Session, link: Link, subscription: Subscription, identifier: int, now: int
    ) -> None:
        identifiers = [identifier] if identifier else None
        for publish, expires_at in self.retained.find(subscription.topic_filter, now):
            qos = min(publish.qos, subscription.qos)
            if qos:
                self._offer(
                    session, Outgoing(publish, qos, True, identifiers, expires_at, None), now
                )
            else:
                properties = publish.properties
                if identifiers is not None:
                    properties = _with_identifiers(properties, identifiers)
                link.write(
                    encode_publish(
                        publish.topic_name,
                        publish.payload,
                        0,
                        True,
                        False,
                        0,
                        properties,
                        link.version,
                    )
                )
                self.stats.messages_sent += 1

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        """Carry out UNSUBSCRIBE and write UNSUBACK."""
        codes = []
        for topic_filter in packet.topic_filters:
            if session.subscriptions.pop(topic_filter, None) is None:
                codes.append(c.NO_SUBSCRIPTION_EXISTED)
            else:
                self.tree.unsubscribe(session, topic_filter)
                codes.append(0)
        if session.link is not None:
            session.link.write(encode_unsuback(packet.packet_id, codes, None, session.link.version))

    # --- the house's own messages ---

    def publish_own(self, publish: Publish, now: int) -> int:
        """Publish for the house; return how many clients' queues and watchers it entered."""
        if publish.retain:
            self._retain(publish, now)
        route = self.tree.find(publish.topic_name)
        taken = 0
        for taker in route.takers:
            if not taker.holds_tickets:  # what the house says is not ingested by the house
                taker.take(Delivery(publish, "", "system", 0, now, None))
                taken += 1
        return taken + self._deliver(None, publish, route, now)

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

        False if it is not; then nothing is sent to anybody. See `ingest.downlink.Downlink`.
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
        for taker in route.takers:
            if not taker.holds_tickets:
                taker.take(Delivery(publish, "", "system", 0, now, None))
        self._deliver(None, publish, others, now)
        for target in acknowledging:
            self._offer(
                target.session,
                Outgoing(publish, 1, False, target.subscription_ids, expires_at, receipt),
                now,
            )
        if not acknowledging:
            receipt.lost(QOS0_UNKNOWABLE)
        return True


def _is_device(session: Session, exact: bool, device: int) -> bool:
    grant = session.grant
    return grant.device == device or (grant.anonymous and exact)


def _expires_at(properties: Properties | None, now: int) -> int:
    if not properties:
        return 0
    interval = properties.get(c.MESSAGE_EXPIRY_INTERVAL)
    return now + interval * SECOND if isinstance(interval, int) else 0


def _as_message(publish: Publish) -> Publish:
    """Return the message without what belonged to the connection it came by."""
    properties = publish.properties
    if properties:
        properties = {k: v for k, v in properties.items() if k not in _HOP_PROPERTIES}
    return Publish(
        publish.topic_name,
        publish.payload,
        publish.qos,
        publish.retain,
        False,
        0,
        properties or None,
    )


def _subscription_identifier(properties: Properties | None) -> int:
    found = (properties or {}).get(c.SUBSCRIPTION_IDENTIFIER)
    if isinstance(found, list) and found and isinstance(found[0], int):
        return found[0]
    return found if isinstance(found, int) else 0


def _with_identifiers(properties: Properties | None, identifiers: list[int]) -> Properties:
    changed: Properties = dict(properties) if properties else {}
    changed[c.SUBSCRIPTION_IDENTIFIER] = identifiers
    return changed
