"""Courier: takes messages to the sessions that want them.

    Route -> frame at once (QoS 0) | window -> PUBACK / PUBREC-PUBREL-PUBCOMP | queue

Theory of operation. A QoS 0 message is bytes that many share and one write. One with QoS 1 or 2 is
an Outgoing: sent at once while there is room in the client's window (its Receive Maximum), else
queued within bounds. What a persistent session has taken is told to the journal. With QoS 1 it is
sent meanwhile; with QoS 2 each packet waits until the state it stands for is stored, since after a
loss of power a message with another packet id would be another message to its receiver.
"""

from fleetwire.broker.frames import Frames
from fleetwire.broker.journal import Journal
from fleetwire.broker.limits import Limits
from fleetwire.broker.link import Link
from fleetwire.broker.messages import (
    as_message,
    expires_at_of,
    seconds_left,
    with_identifiers,
    with_time_left,
)
from fleetwire.broker.retained import RetainedMessages
from fleetwire.broker.session import (
    WAIT_PUBACK,
    WAIT_PUBCOMP,
    WAIT_PUBREC,
    Outgoing,
    Receipt,
    Session,
)
from fleetwire.broker.stats import (
    FORBIDDEN,
    NO_MEMBER,
    QUEUE_FULL,
    SLOW_READER,
    TOO_LARGE,
    Stats,
)
from fleetwire.broker.subscriptions import Route, Target
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_pubcomp, encode_pubrel
from fleetwire.protocol.packets import Ack, Publish

# Retained messages for a new subscription are written in slices of about this size, so that a
# filter that matches many of them neither fills memory nor holds up the others.
RETAINED_SLICE_BYTES = 256 * 1024
RETAINED_COST_BYTES = 64  # what the smallest of them counts for


class Courier:
    """The outgoing half of the broker."""

    def __init__(
        self, limits: Limits, stats: Stats, journal: Journal, retained: RetainedMessages
    ) -> None:
        self.kept = False  # a message was told to the journal; whoever asks sets it back
        self.overflowed: set[Session] = set()  # whose queue had no room, until the edge asks
        self._limits = limits
        self._stats = stats
        self._journal = journal
        self._retained = retained
        self._frames = Frames()

    # --- to everyone on a route ---

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
                    and self._is_free(session, link)
                ):
                    self._send_first(session, link, outgoing)
                    taken += 1
                else:
                    taken += self.offer(session, outgoing, now)
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
                taken += self.offer(
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
            self.offer(
                session,
                Outgoing(publish, qos, True, target.subscription_ids, expires_at, None),
                now,
            )
        else:
            self._send_unkept(target, link, publish, True, None)

    # --- to one session, QoS 1 and 2 ---

    def _is_free(self, session: Session, link: Link) -> bool:
        """Say whether the next message can be sent at once."""
        return (
            not session.queue
            and not session.resend
            and not link.congested
            and len(session.inflight) < session.window
            and session.inflight_bytes < self._limits.queue_bytes
        )

    def _send_first(self, session: Session, link: Link, outgoing: Outgoing) -> None:
        """Send an everyday message: what `_begin` and `_send` do for any, spelt out."""
        packet_id = session.packet_ids.allocate()
        outgoing.packet_id = packet_id
        outgoing.state = WAIT_PUBACK if outgoing.qos == 1 else WAIT_PUBREC
        session.inflight[packet_id] = outgoing
        size = len(outgoing.publish.payload)
        session.inflight_bytes += size + len(outgoing.publish.topic_name)
        frame = self._frames.kept(outgoing, False, link.version)
        if link.output:
            link.output.append(frame)
        else:
            link.write(frame)
        session.messages_sent += 1
        stats = self._stats
        stats.messages_sent += 1
        stats.publish_bytes_sent += size

    def offer(self, session: Session, outgoing: Outgoing, now: int) -> bool:
        """Send now, or queue for later; return False if the queue has no room for it."""
        link = session.link
        if link is not None and self._is_free(session, link):
            self._begin(session, link, outgoing, now)
            return True
        if link is None and not session.is_persistent:
            return False  # a session that is about to end
        limits = self._limits
        size = outgoing.size
        if (
            len(session.queue) >= limits.queue_messages
            or session.queue_bytes + size > limits.queue_bytes
        ) and not (limits.drops_oldest and self._make_room(session, size)):
            self._overflow(session, outgoing)
            return False
        session.queue.append(outgoing)
        session.queue_bytes += size
        if _is_kept(session, outgoing):
            self.kept = True
            self._journal.keep_outgoing(session, outgoing)
        return True

    def _make_room(self, session: Session, size: int) -> bool:
        limits = self._limits
        queue = session.queue
        while queue and (
            len(queue) >= limits.queue_messages or session.queue_bytes + size > limits.queue_bytes
        ):
            oldest = queue.popleft()
            session.queue_bytes -= oldest.size
            self._drop(session, oldest)
            self._overflow(session, oldest)
        return size <= limits.queue_bytes

    def _overflow(self, session: Session, outgoing: Outgoing) -> None:
        self._stats.drop(QUEUE_FULL)
        session.dropped += 1
        self.overflowed.add(session)
        if outgoing.receipt is not None:
            outgoing.receipt.lost(QUEUE_FULL)

    def _begin(self, session: Session, link: Link, outgoing: Outgoing, now: int) -> None:
        packet_id = session.packet_ids.allocate()
        outgoing.packet_id = packet_id
        session.inflight[packet_id] = outgoing
        session.inflight_bytes += outgoing.size
        if not _is_kept(session, outgoing):
            outgoing.state = WAIT_PUBACK if outgoing.qos == 1 else WAIT_PUBREC
            self._send(session, link, outgoing, False, now)
            return
        self.kept = True
        if outgoing.qos == 1:
            outgoing.state = WAIT_PUBACK
            self._journal.keep_outgoing(session, outgoing)
            self._send(session, link, outgoing, False, now)
        else:
            outgoing.state = WAIT_PUBREC
            self._hold(session, outgoing, now)

    def _hold(self, session: Session, outgoing: Outgoing, now: int) -> None:
        """Store the state of a QoS 2 message; what is next for it is sent after that."""
        outgoing.is_held = True
        self._journal.keep_outgoing(session, outgoing)
        self._journal.when_stored(lambda: self._send_held(session, outgoing, now))

    def _send_held(self, session: Session, outgoing: Outgoing, now: int) -> None:
        if not outgoing.is_held:
            return
        outgoing.is_held = False
        link = session.link
        if link is None or session.inflight.get(outgoing.packet_id) is not outgoing:
            return  # it goes when the client is back
        if outgoing.state == WAIT_PUBCOMP:
            link.write(encode_pubrel(outgoing.packet_id, 0, link.version))
        elif session.resend:
            self.pump(session, now)  # the client was away meanwhile: in its turn
        else:
            self._send(session, link, outgoing, False, now)

    def _send(self, session: Session, link: Link, outgoing: Outgoing, dup: bool, now: int) -> None:
        publish = outgoing.publish
        properties = publish.properties
        if properties is None and outgoing.subscription_ids is None and not session.is_special:
            # The everyday message: all but the packet id is the same for many.
            frame = self._frames.kept(outgoing, dup, link.version)
        else:
            if properties is not None and outgoing.expires_at:
                # [MQTT-3.3.2-6] The interval passed on is what remains of it.
                properties = dict(properties)
                properties[c.MESSAGE_EXPIRY_INTERVAL] = seconds_left(outgoing.expires_at, now)
            if outgoing.subscription_ids is not None:
                properties = with_identifiers(properties, outgoing.subscription_ids)
            frame = self._frames.special(
                session,
                link.version,
                publish,
                outgoing.qos,
                outgoing.retain,
                dup,
                outgoing.packet_id,
                properties,
            )
            if session.maximum_packet_size and len(frame) > session.maximum_packet_size:
                # [MQTT-3.1.2-24] [MQTT-3.1.2-25] Not sent, and then as if it had been.
                self._forget(session, outgoing)
                self._stats.drop(TOO_LARGE)
                if outgoing.receipt is not None:
                    outgoing.receipt.lost("the message is larger than the client accepts")
                return
        if link.output:
            link.output.append(frame)
        else:
            link.write(frame)
        session.messages_sent += 1
        self._stats.messages_sent += 1
        self._stats.publish_bytes_sent += len(publish.payload)

    def pump(self, session: Session, now: int) -> None:
        """Send from the queue while there is room."""
        link = session.link
        queue = session.queue
        if session.resend and not (link is not None and self._send_again(session, link, now)):
            return
        while queue and link is not None and not link.congested:
            if not self._has_room(session):
                return
            outgoing = queue.popleft()
            session.queue_bytes -= outgoing.size
            if outgoing.expires_at and outgoing.expires_at <= now:
                self._expired(session, outgoing)
                continue
            self._begin(session, link, outgoing, now)
        if session.retained_waiting and link is not None:
            self._pump_retained(session, link, now)

    def _has_room(self, session: Session) -> bool:
        return (
            len(session.inflight) < session.window
            and session.inflight_bytes < self._limits.queue_bytes
        )

    def _pump_retained(self, session: Session, link: Link, now: int) -> None:
        """Send retained messages for new subscriptions: a slice of them, more when it has left."""
        may_receive = session.grant.may_receive
        budget = RETAINED_SLICE_BYTES
        waiting = session.retained_waiting
        while waiting:
            one = waiting[0]
            if one.found is None:
                one.found = self._retained.find(one.topic_filter, now)
                one.found.reverse()
            while one.found:
                if budget <= 0 or link.congested or session.queue or not self._has_room(session):
                    return
                kept = one.found.pop()
                publish = kept.publish
                if may_receive(publish.topic_name):
                    budget -= len(publish.payload) + len(publish.topic_name) + RETAINED_COST_BYTES
                    self._send_retained(session, link, one.target, publish, kept.expires_at, now)
            waiting.popleft()

    def resume(self, session: Session, now: int) -> None:
        """Send again what was not acknowledged, then what has waited [MQTT-4.4.0-1]."""
        link = session.link
        if link is None:
            return
        session.resend.clear()
        for packet_id, outgoing in session.inflight.items():
            if outgoing.state != WAIT_PUBCOMP:
                if outgoing.is_held:
                    outgoing.is_unsent = True
                session.resend.append(outgoing)
            elif not outgoing.is_held:  # else it goes when it is stored
                link.write(encode_pubrel(packet_id, 0, link.version))
        self.pump(session, now)

    def _send_again(self, session: Session, link: Link, now: int) -> bool:
        """Send what an earlier connection left unacknowledged; return whether that was all.

        The client may take less at once than it did then [MQTT-3.3.4-9].
        """
        resend = session.resend
        inflight = session.inflight
        while resend:
            outgoing = resend[0]
            if inflight.get(outgoing.packet_id) is not outgoing or outgoing.state == WAIT_PUBCOMP:
                resend.popleft()
                continue
            if outgoing.is_held or link.congested or len(inflight) - len(resend) >= session.window:
                return False
            resend.popleft()
            if not session.grant.may_receive(outgoing.publish.topic_name):
                self._forget(session, outgoing)
                self._give_up(outgoing)
            elif outgoing.expires_at and outgoing.expires_at <= now and outgoing.qos == 1:
                self._forget(session, outgoing)
                self._expired(session, outgoing)
            else:
                self._send(session, link, outgoing, not outgoing.is_unsent, now)
                outgoing.is_unsent = False
        return True

    def forget_forbidden(self, session: Session) -> None:
        """Drop from the queue what the client, back with a smaller grant, may not receive."""
        may_receive = session.grant.may_receive
        allowed = [each for each in session.queue if may_receive(each.publish.topic_name)]
        if len(allowed) == len(session.queue):
            return
        for outgoing in session.queue:
            if not may_receive(outgoing.publish.topic_name):
                self._drop(session, outgoing)
                self._give_up(outgoing)
        session.queue.clear()
        session.queue.extend(allowed)
        session.queue_bytes = sum(each.size for each in allowed)

    def _give_up(self, outgoing: Outgoing) -> None:
        self._stats.drop(FORBIDDEN)
        if outgoing.receipt is not None:
            outgoing.receipt.lost(FORBIDDEN)

    def _expired(self, session: Session, outgoing: Outgoing) -> None:
        self._drop(session, outgoing)
        self._stats.messages_expired += 1
        if outgoing.receipt is not None:
            outgoing.receipt.lost("the message expired before it was sent")

    def _forget(self, session: Session, outgoing: Outgoing) -> None:
        """End the exchange of a message in flight."""
        del session.inflight[outgoing.packet_id]
        session.inflight_bytes -= outgoing.size
        session.packet_ids.release(outgoing.packet_id)
        outgoing.is_held = False
        self._drop(session, outgoing)

    def _drop(self, session: Session, outgoing: Outgoing) -> None:
        if _is_kept(session, outgoing):
            self._journal.drop_outgoing(session, outgoing)

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
                self._forget(session, outgoing)
            else:
                moved = True
                outgoing.state = -1  # taken out of the queue below
                self._drop(session, outgoing)
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
            self.offer(other.session, moved, now)
        elif link is not None:
            self._send_unkept(other, link, outgoing.publish, outgoing.retain, None)

    # --- from one session ---

    def acknowledge(self, session: Session, acks: list[Ack], now: int) -> None:
        """Carry out a run of PUBACK, PUBREC, PUBREL and PUBCOMP packets of one client."""
        inflight = session.inflight
        link = session.link
        if link is None:
            return
        release = session.packet_ids.release
        is_persistent = session.is_persistent
        for ack in acks:
            kind = ack.type
            packet_id = ack.packet_id
            if kind == c.PUBACK:
                outgoing = inflight.get(packet_id)
                if outgoing is not None and outgoing.state == WAIT_PUBACK:
                    del inflight[packet_id]
                    session.inflight_bytes -= outgoing.size
                    release(packet_id)
                    if is_persistent and outgoing.receipt is None:
                        self._journal.drop_outgoing(session, outgoing)
                    if outgoing.receipt is not None:
                        _settle(outgoing.receipt, ack.reason_code)
            elif kind == c.PUBREC:
                self._received(session, link, ack, now)
            elif kind == c.PUBREL:
                self._release(session, link, packet_id)
            else:
                outgoing = inflight.get(packet_id)
                if outgoing is not None and outgoing.state == WAIT_PUBCOMP:
                    self._forget(session, outgoing)
                    if outgoing.receipt is not None:
                        _settle(outgoing.receipt, ack.reason_code)
        if session.queue or session.resend or session.retained_waiting:
            self.pump(session, now)

    def _received(self, session: Session, link: Link, ack: Ack, now: int) -> None:
        """PUBREC: the receiver has the message."""
        packet_id = ack.packet_id
        outgoing = session.inflight.get(packet_id)
        if outgoing is None:
            # Unknown to us: 5.0 says so, older versions just finish the exchange.
            link.write(encode_pubrel(packet_id, c.PACKET_IDENTIFIER_NOT_FOUND, link.version))
        elif ack.reason_code >= 0x80:
            self._forget(session, outgoing)
            if outgoing.receipt is not None:
                _settle(outgoing.receipt, ack.reason_code)
        elif outgoing.state == WAIT_PUBREC and not outgoing.is_held:
            outgoing.state = WAIT_PUBCOMP
            # PUBRELs go, and go again, in the order of their PUBRECs [MQTT-4.6.0-4].
            session.inflight[packet_id] = session.inflight.pop(packet_id)
            # [MQTT-4.3.3-4] From here on it is the packet id that counts.
            if session.is_persistent:
                self._hold(session, outgoing, now)
            else:
                link.write(encode_pubrel(packet_id, 0, link.version))
        elif outgoing.state == WAIT_PUBCOMP and not outgoing.is_held:
            link.write(encode_pubrel(packet_id, 0, link.version))

    def _release(self, session: Session, link: Link, packet_id: int) -> None:
        """PUBREL: the sender will use its packet id for another message."""
        was_known = session.forget_received(packet_id)
        if was_known:
            link.acknowledged += 1
        code = 0 if was_known else c.PACKET_IDENTIFIER_NOT_FOUND
        frame = encode_pubcomp(packet_id, code, link.version)
        if session.is_persistent:
            # Were it forgotten to be free, the next message under it would be taken for this one;
            # so also a repeated PUBREL waits until the first one is stored.
            self._journal.when_stored(lambda: link.write(frame))
        else:
            link.write(frame)


def _is_kept(session: Session, outgoing: Outgoing) -> bool:
    # A message with a receipt is a command: the ledger keeps it, and sends it anew after a restart.
    return session.is_persistent and outgoing.receipt is None


def _settle(receipt: Receipt, reason_code: int) -> None:
    if reason_code >= 0x80:
        receipt.lost(f"the device refused it ({c.reason_name(reason_code)})")
    else:
        receipt.delivered()
