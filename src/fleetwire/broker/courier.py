"""Courier: takes messages to the sessions that want them.

    Route -> frame at once (QoS 0) | Exchanges (QoS 1 and 2)

Theory of operation. A QoS 0 message is bytes that many share and one write; one with QoS 1 or 2
begins an exchange with each receiver. Retained messages for a new subscription go in slices, when
nothing else waits.
"""

from fleetwire.broker.exchanges import Exchanges
from fleetwire.broker.frames import Frames
from fleetwire.broker.link import Link
from fleetwire.broker.messages import (
    as_message,
    expires_at_of,
    with_identifiers,
    with_time_left,
)
from fleetwire.broker.retained import RetainedMessages
from fleetwire.broker.session import Outgoing, Session
from fleetwire.broker.stats import NO_MEMBER, SLOW_READER, TOO_LARGE, Stats
from fleetwire.broker.subscriptions import Route, Target
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish

# Retained messages for a new subscription are written in slices of about this size, so that a
# filter that matches many of them neither fills memory nor holds up the others.
RETAINED_SLICE_BYTES = 256 * 1024
RETAINED_COST_BYTES = 64  # what the smallest of them counts for


class Courier:
    """The outgoing half of the broker."""

    def __init__(
        self, stats: Stats, frames: Frames, exchanges: Exchanges, retained: RetainedMessages
    ) -> None:
        self._stats = stats
        self._frames = frames
        self._exchanges = exchanges
        self._retained = retained

    def send_plain(self, sender: Session, publishes: list[Publish], targets: list[Target]) -> None:
        """Send messages with QoS 0 of one Topic Name, none retained or with properties.

        Their bytes are made once for each protocol version and shared.
        """
        frames: dict[bool, bytes] = {}
        count = len(publishes)
        sent = 0
        for target in targets:
            session = target.session
            link = session.link
            if link is None or (target.no_local and session is sender):
                continue  # QoS 0 is not kept for the absent (MQTT 5.0 §4.1)
            if link.congested:
                self._stats.drop(SLOW_READER, count)
                continue
            if target.is_special or session.is_special:
                for publish in publishes:
                    self._send_unkept(target, link, publish, False, None)
                continue
            is_v5 = link.version == c.V5
            frame = frames.get(is_v5)
            if frame is None:
                frame = frames[is_v5] = self._frames.plain(publishes, link.version)
            link.write(frame)
            session.messages_sent += count
            sent += 1
        self._stats.messages_sent += sent * count
        self._stats.packets_sent += sent * (count - 1)  # the edge counts frames, and this was one
        self._stats.publish_bytes_sent += sent * sum([len(each.payload) for each in publishes])

    def send_run(self, sender: Session, run: list[Publish], target: Target) -> bool:
        """Send QoS 1 messages of one Topic Name to the only one who wants them.

        None is retained or has properties. False if they must go one by one.
        """
        session = target.session
        link = session.link
        return (
            link is not None
            and target.qos > 0
            and not target.is_special
            and not (target.no_local and session is sender)
            and not session.is_persistent
            and not session.is_special
            and self._exchanges.send_run(session, link, run)
        )

    def deliver(self, sender: Session, publish: Publish, route: Route, now: int) -> int:
        """Take one message to everyone on a route; return how many took it."""
        properties = publish.properties
        expires_at = 0
        if properties:
            expires_at = expires_at_of(properties, now)
            publish = as_message(publish)
        frames: dict[int, bytes] = {}
        taken = 0
        for target in route.targets:
            session = target.session
            if target.no_local and session is sender:
                continue
            qos = target.qos if target.qos < publish.qos else publish.qos
            # [MQTT-3.3.1-9] RETAIN is 0 for an established subscription ...
            # [MQTT-3.3.1-13] ... unless it asked for Retain As Published.
            retain = publish.retain and target.retain_as_published
            link = session.link
            if qos:
                outgoing = Outgoing(publish, qos, retain, target.subscription_ids, expires_at)
                if (
                    link is not None
                    and publish.properties is None
                    and target.subscription_ids is None
                    and not session.is_persistent
                    and not session.is_special
                    and self._exchanges.is_free(session, link)
                ):
                    self._exchanges.send_first(session, link, outgoing)
                    taken += 1
                else:
                    taken += self._exchanges.offer(session, outgoing, now)
                continue
            if link is not None:
                taken += self._send_unkept(target, link, publish, retain, frames)
        for group in route.groups:
            chosen = group.choose(publish.qos)
            if chosen is None:
                self._stats.drop(NO_MEMBER)
                continue
            qos = min(chosen.qos, publish.qos)
            retain = publish.retain and chosen.retain_as_published
            if qos:
                taken += self._exchanges.offer(
                    chosen.session,
                    Outgoing(
                        publish, qos, retain, chosen.subscription_ids, expires_at, None, group
                    ),
                    now,
                )
            elif chosen.session.link is not None:
                taken += self._send_unkept(chosen, chosen.session.link, publish, retain, frames)
        return taken

    def _send_unkept(
        self,
        target: Target,
        link: Link,
        publish: Publish,
        retain: bool,
        frames: dict[int, bytes] | None,
    ) -> bool:
        """Send with QoS 0; bytes that several receivers share are kept in `frames`."""
        session = target.session
        if link.congested:
            self._stats.drop(SLOW_READER)
            return False
        frame: bytes | None = None
        shares = frames is not None and not (target.is_special or session.is_special)
        key = link.version + (256 if retain else 0)
        if shares and frames is not None:
            frame = frames.get(key)
        if frame is None:
            properties = publish.properties
            if target.subscription_ids is not None:
                properties = with_identifiers(properties, target.subscription_ids)
            frame = self._frames.special(
                session, link.version, publish, 0, retain, False, 0, properties
            )
            if shares and frames is not None:
                frames[key] = frame
        if session.maximum_packet_size and len(frame) > session.maximum_packet_size:
            self._stats.drop(TOO_LARGE)  # [MQTT-3.1.2-24] [MQTT-3.1.2-25]
            return False
        link.write(frame)
        session.messages_sent += 1
        self._stats.messages_sent += 1
        self._stats.publish_bytes_sent += len(publish.payload)
        return True

    def _send_retained(
        self,
        session: Session,
        link: Link,
        target: Target,
        publish: Publish,
        expires_at: int,
        now: int,
    ) -> None:
        """Send a retained message to a new subscription, with RETAIN set [MQTT-3.3.1-8]."""
        qos = min(publish.qos, target.qos)
        if expires_at:
            publish = with_time_left(publish, expires_at, now)
        if qos:
            self._exchanges.offer(
                session,
                Outgoing(publish, qos, True, target.subscription_ids, expires_at, None),
                now,
            )
        else:
            self._send_unkept(target, link, publish, True, None)

    def _pump_retained(self, session: Session, link: Link, now: int) -> None:
        """Send retained messages for new subscriptions: a slice of them, more when it has left."""
        may_receive = session.grant.may_receive
        has_room = self._exchanges.has_room
        budget = RETAINED_SLICE_BYTES
        waiting = session.retained_waiting
        while waiting:
            one = waiting[0]
            if one.found is None:
                one.found = self._retained.find(one.topic_filter, now)
                one.found.reverse()
            while one.found:
                if (
                    budget <= 0
                    or link.congested
                    or session.queue
                    or session.resend
                    or not has_room(session)
                ):
                    return
                kept = one.found.pop()
                publish = kept.publish
                if may_receive(publish.topic_name):
                    budget -= len(publish.payload) + len(publish.topic_name) + RETAINED_COST_BYTES
                    self._send_retained(session, link, one.target, publish, kept.expires_at, now)
            waiting.popleft()

    def pump(self, session: Session, now: int) -> None:
        """Send from the queue, and then retained messages, while there is room."""
        self._exchanges.pump(session, now)
        if session.retained_waiting and session.link is not None:
            self._pump_retained(session, session.link, now)

    def resume(self, session: Session, now: int) -> None:
        """Send again what was not acknowledged, then what has waited [MQTT-4.4.0-1]."""
        self._exchanges.resume(session, now)
        if session.retained_waiting and session.link is not None:
            self._pump_retained(session, session.link, now)

    def acknowledge(self, session: Session, acks: list[Ack], now: int) -> None:
        """Carry out a run of PUBACK, PUBREC, PUBREL and PUBCOMP packets of one client."""
        self._exchanges.acknowledge(session, acks, now)
        if session.retained_waiting and session.link is not None:
            self._pump_retained(session, session.link, now)

    # --- shared subscriptions ---

    def hand_over(self, session: Session, now: int) -> None:
        """A member has left: others of its groups take what it has not acknowledged.

        A QoS 2 message that was sent is the member's alone, whether he comes back or not
        [MQTT-4.8.2-4] [MQTT-4.8.2-5]. With nobody else connected all stays in the session.
        """
        shared = [
            outgoing
            for outgoing in [*session.inflight.values(), *session.queue]
            if outgoing.group is not None and (outgoing.qos == 1 or outgoing.state == 0)
        ]
        moved = False
        for outgoing in shared:
            group = outgoing.group
            assert group is not None
            other = group.choose(0, session)
            if other is None:
                continue
            if outgoing.state:
                self._exchanges.forget(session, outgoing)
            else:
                moved = True
                outgoing.state = -1  # taken out of the queue below
                self._exchanges.drop(session, outgoing)
            self._give_to(other, outgoing, now)
        if moved:
            left = [outgoing for outgoing in session.queue if outgoing.state == 0]
            session.queue.clear()
            session.queue.extend(left)
            session.queue_bytes = sum(outgoing.size for outgoing in left)

    def _give_to(self, other: Target, outgoing: Outgoing, now: int) -> None:
        qos = min(outgoing.qos, other.qos)
        link = other.session.link
        if qos:
            moved = Outgoing(
                outgoing.publish,
                qos,
                outgoing.retain,
                other.subscription_ids,
                outgoing.expires_at,
                outgoing.receipt,
                outgoing.group,
            )
            self._exchanges.offer(other.session, moved, now)
        elif link is not None:
            self._send_unkept(other, link, outgoing.publish, outgoing.retain, None)
