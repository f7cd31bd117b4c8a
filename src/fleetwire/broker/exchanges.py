"""Exchanges: the QoS 1 and 2 messages of each session, from its queue to their acknowledgement.

    offer -> sent at once | queue -> window -> PUBACK / PUBREC-PUBREL-PUBCOMP

Theory of operation. A message is an Outgoing: sent at once while there is room in the client's
window (its Receive Maximum), else queued within bounds. What a persistent session has taken is told
to the journal. With QoS 1 it is sent meanwhile; with QoS 2 each packet waits until the state it
stands for is stored, since after a loss of power a message with another packet id would be another
message to its receiver.
"""

from fleetwire.broker.frames import Frames
from fleetwire.broker.journal import Journal
from fleetwire.broker.limits import Limits
from fleetwire.broker.link import Link
from fleetwire.broker.messages import seconds_left, with_identifiers
from fleetwire.broker.session import (
    WAIT_PUBACK,
    WAIT_PUBCOMP,
    WAIT_PUBREC,
    Outgoing,
    Receipt,
    Session,
)
from fleetwire.broker.stats import FORBIDDEN, QUEUE_FULL, TOO_LARGE, Stats
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_pubcomp, encode_pubrel
from fleetwire.protocol.packets import Ack, Publish


class Exchanges:
    """What was sent and not acknowledged yet, and what waits for that."""

    def __init__(self, limits: Limits, stats: Stats, journal: Journal, frames: Frames) -> None:
        self.kept = False  # a message was told to the journal; whoever asks sets it back
        self.overflowed: set[Session] = set()  # whose queue had no room, until the edge asks
        self._limits = limits
        self._stats = stats
        self._journal = journal
        self._frames = frames

    # --- to a session ---

    def is_free(self, session: Session, link: Link) -> bool:
        """Say whether the next message can be sent at once."""
        return (
            not session.queue
            and not session.resend
            and not link.congested
            and len(session.inflight) < session.window
            and session.inflight_bytes < self._limits.queue_bytes
        )

    def send_first(self, session: Session, link: Link, outgoing: Outgoing) -> None:
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

    def send_run(self, session: Session, link: Link, run: list[Publish]) -> bool:
        """Send QoS 1 messages of one topic at once; False if there is no room for all of them.

        None is retained or has properties; the session is neither persistent nor special.
        """
        inflight = session.inflight
        if not self.is_free(session, link) or len(inflight) + len(run) > session.window:
            return False
        allocate = session.packet_ids.allocate
        topic_name = run[0].topic_name
        # Behind the packet id, MQTT 5 has the length of the properties: 0.
        shift, length = (8, 3) if link.version == c.V5 else (0, 2)
        frames: list[bytes] = []
        size = -1
        total = 0
        head = b""
        for publish in run:
            payload = publish.payload
            if len(payload) != size:
                size = len(payload)
                head = self._frames.head(topic_name, size, 0x32, link.version)
            total += size
            packet_id = allocate()
            outgoing = Outgoing(publish, 1, False, None, 0)
            outgoing.packet_id = packet_id
            outgoing.state = WAIT_PUBACK
            inflight[packet_id] = outgoing
            frames.append(head + (packet_id << shift).to_bytes(length, "big") + payload)
        link.write_all(frames)
        count = len(run)
        session.inflight_bytes += total + count * len(topic_name)
        session.messages_sent += count
        stats = self._stats
        stats.messages_sent += count
        stats.publish_bytes_sent += total
        return True

    def offer(self, session: Session, outgoing: Outgoing, now: int) -> bool:
        """Send now, or queue for later; return False if the queue has no room for it."""
        link = session.link
        if link is not None and self.is_free(session, link):
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
            self.drop(session, oldest)
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
                self.forget(session, outgoing)
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
            if not self.has_room(session):
                return
            outgoing = queue.popleft()
            session.queue_bytes -= outgoing.size
            if outgoing.expires_at and outgoing.expires_at <= now:
                self._expired(session, outgoing)
                continue
            self._begin(session, link, outgoing, now)

    def has_room(self, session: Session) -> bool:
        return (
            len(session.inflight) < session.window
            and session.inflight_bytes < self._limits.queue_bytes
        )

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
                self.forget(session, outgoing)
                self._give_up(outgoing)
            elif outgoing.expires_at and outgoing.expires_at <= now and outgoing.qos == 1:
                self.forget(session, outgoing)
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
                self.drop(session, outgoing)
                self._give_up(outgoing)
        session.queue.clear()
        session.queue.extend(allowed)
        session.queue_bytes = sum(each.size for each in allowed)

    def _give_up(self, outgoing: Outgoing) -> None:
        self._stats.drop(FORBIDDEN)
        if outgoing.receipt is not None:
            outgoing.receipt.lost(FORBIDDEN)

    def _expired(self, session: Session, outgoing: Outgoing) -> None:
        self.drop(session, outgoing)
        self._stats.messages_expired += 1
        if outgoing.receipt is not None:
            outgoing.receipt.lost("the message expired before it was sent")

    def forget(self, session: Session, outgoing: Outgoing) -> None:
        """End the exchange of a message in flight."""
        del session.inflight[outgoing.packet_id]
        session.inflight_bytes -= outgoing.size
        session.packet_ids.release(outgoing.packet_id)
        outgoing.is_held = False
        self.drop(session, outgoing)

    def drop(self, session: Session, outgoing: Outgoing) -> None:
        if _is_kept(session, outgoing):
            self._journal.drop_outgoing(session, outgoing)

    # --- from a session ---

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
                    self.forget(session, outgoing)
                    if outgoing.receipt is not None:
                        _settle(outgoing.receipt, ack.reason_code)
        if session.queue or session.resend:
            self.pump(session, now)

    def _received(self, session: Session, link: Link, ack: Ack, now: int) -> None:
        """PUBREC: the receiver has the message."""
        packet_id = ack.packet_id
        outgoing = session.inflight.get(packet_id)
        if outgoing is None:
            # Unknown to us: 5.0 says so, older versions just finish the exchange.
            link.write(encode_pubrel(packet_id, c.PACKET_IDENTIFIER_NOT_FOUND, link.version))
        elif ack.reason_code >= 0x80:
            self.forget(session, outgoing)
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
