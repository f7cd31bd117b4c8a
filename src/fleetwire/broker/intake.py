"""Intake: messages of clients and of the house, on their way to takers and to the courier.

    publishes -> permission, route (once for a run of one topic) -> takers | courier
                                            acknowledgement <- ticket

Theory of operation. The everyday cases are spelt out: a run of plain QoS 0 messages is handed on
whole, a QoS 1 message that only connected clients take is acknowledged at once. Whatever needs more
(retained, QoS 2, properties, a refusal) goes through `_publish_with_care`, one message at a time.
"""

from collections.abc import Callable

from fleetwire.broker.courier import Courier
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.exchanges import Exchanges
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import Journal
from fleetwire.broker.limits import Limits
from fleetwire.broker.link import InboundTicket, Link, RunTicket
from fleetwire.broker.messages import as_message, expires_at_of
from fleetwire.broker.retained import SYS, RetainedMessages
from fleetwire.broker.session import QOS0_UNKNOWABLE, Outgoing, Receipt, Session
from fleetwire.broker.stats import RETAINED_FULL, Stats
from fleetwire.broker.subscriptions import Route, SubscriptionTree
from fleetwire.broker.takers import Taker
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_puback, encode_pubacks
from fleetwire.protocol.packets import Publish


class Intake:
    """Takes messages in and finds everyone they are for."""

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        tree: SubscriptionTree,
        retained: RetainedMessages,
        courier: Courier,
        exchanges: Exchanges,
        journal: Journal,
        refusals: Taker | None,
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._tree = tree
        self._retained = retained
        self._courier = courier
        self._exchanges = exchanges
        self._journal = journal
        # Takes what clients may not publish, so that it is recorded and not silently dropped.
        self._refusals = refusals
        self._house = Session("", Grant("system", [], []))

    # --- from clients ---

    def publish(self, session: Session, publishes: list[Publish], now: int) -> None:
        """Carry out a run of PUBLISH packets of one client, in order."""
        link = session.link
        count = len(publishes)
        self._stats.messages_received += count
        self._stats.publish_bytes_received += sum([len(each.payload) for each in publishes])
        session.messages_received += count
        topic_name: str | None = None
        may_publish = False
        needs_care = self._limits.payload_bytes > 0
        route: Route | None = None
        index = 0
        while index < count:
            publish = publishes[index]
            index += 1
            if publish.topic_name is not topic_name or route is None:
                topic_name = publish.topic_name
                may_publish = (
                    session.grant.may_publish(topic_name)
                    and self._fits(topic_name)
                    and not topic_name.startswith(SYS)  # the house's own, whatever a grant says
                )
                route = self._tree.find(topic_name)
            if publish.packet_id and link is not None:
                if publish.qos == 1:
                    if (
                        needs_care
                        or not may_publish
                        or publish.properties is not None
                        or publish.retain
                    ):
                        self._publish_with_care(session, link, publish, route, may_publish, now)
                        continue
                    if route.run_taker is not None or route.run_target is not None:
                        first = index - 1
                        index = _run_end(publishes, index)
                        run = publishes if index - first == count else publishes[first:index]
                        self._publish_run(session, link, run, route, now)
                    else:
                        self._publish_qos1(session, link, publish, route, now)
                elif publish.packet_id in session.received:
                    # [MQTT-4.3.3-10] Seen before: answer again, deliver nothing again.
                    _answer_again(session.received[publish.packet_id], link)
                else:
                    self._publish_with_care(session, link, publish, route, may_publish, now)
                continue
            if (
                needs_care
                or not may_publish
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
            self._courier.send_plain(session, run, route.targets)
            for taker in route.takers:
                for publish in run:
                    taker.take(Delivery(publish, session, now, None))

    def _publish_run(
        self, session: Session, link: Link, run: list[Publish], route: Route, now: int
    ) -> None:
        """A run of everyday QoS 1 messages of one topic that only one takes."""
        if route.run_taker is not None:
            ticket = RunTicket(link, [publish.packet_id for publish in run])
            link.acks.append(ticket)
            route.run_taker.take_run(run, session, now, ticket)
            return
        target = route.run_target
        if (
            target is not None
            and not link.acks
            and len(run) > 1
            and self._courier.send_run(session, run, target)
        ):
            link.write_all(encode_pubacks([publish.packet_id for publish in run]))
            link.acknowledged += len(run)
            return
        for publish in run:
            self._publish_qos1(session, link, publish, route, now)

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
        courier = self._courier
        if route.targets or route.groups:
            taken += courier.deliver(session, publish, route, now)
        if ticket is None:
            if taken and not link.acks and not self._exchanges.kept:
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
        courier = self._courier
        if link is not None:
            ticket = InboundTicket(link, publish.packet_id, publish.qos, session)
            link.acks.append(ticket)
            if publish.qos == 2:
                session.received[publish.packet_id] = ticket
                if session.is_persistent:
                    self._journal.keep_received(session, publish.packet_id)
                    self._exchanges.kept = True
        refusal = self._refusal(session, publish, may_publish)
        if refusal is not None:
            self._refuse(session, publish, ticket, refusal[0], refusal[1], now)
            return
        if publish.retain:
            self._retain(publish, now)
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
            self._exchanges.kept = False
        else:
            self._finish(ticket, taken)

    def _finish(self, ticket: InboundTicket, taken: int) -> None:
        """Answer a ticket that nobody holds, once what it stands for is stored."""
        link = ticket.link
        if taken == 0 and link is not None and link.version == c.V5:
            ticket.reason_code = c.NO_MATCHING_SUBSCRIBERS
        if self._exchanges.kept:
            self._exchanges.kept = False
            ticket.outstanding += 1
            self._journal.hold(ticket)
        elif ticket.outstanding == 0:
            ticket.settle()

    def _fits(self, topic_name: str) -> bool:
        limits = self._limits
        return topic_name.count("/") < limits.topic_levels and (
            len(topic_name) * 4 <= limits.topic_bytes
            or len(topic_name.encode()) <= limits.topic_bytes
        )

    def _refusal(
        self, session: Session, publish: Publish, may_publish: bool
    ) -> tuple[int, str] | None:
        """Return (reason code, reason) if a message may not pass."""
        limits = self._limits
        if not may_publish:
            if not self._fits(publish.topic_name):
                return (
                    c.TOPIC_NAME_INVALID,
                    f"a topic may have {limits.topic_levels} levels and {limits.topic_bytes} bytes",
                )
            return c.NOT_AUTHORIZED, f"{session.grant.identity} may not publish to this topic"
        if limits.payload_bytes and len(publish.payload) > limits.payload_bytes:
            return (
                c.QUOTA_EXCEEDED,
                f"a payload of {len(publish.payload)} bytes; {limits.payload_bytes} are accepted",
            )
        if publish.retain and not limits.retained_messages:
            return c.RETAIN_NOT_SUPPORTED, "retained messages are turned off here"
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
        self._stats.refuse_message(reason_code)
        if ticket is not None:
            ticket.reason_code = reason_code
        if self._refusals is not None:
            if ticket is not None:
                ticket.outstanding += 1
            self._refusals.take(Delivery(publish, session, now, ticket, reason))
        if self._exchanges.kept and ticket is not None:
            ticket.outstanding += 1
            self._journal.hold(ticket)
        elif ticket is not None and ticket.outstanding == 0:
            ticket.settle()
        self._exchanges.kept = False
        link = session.link
        if link is None or link.version == c.V5:
            return
        if self._limits.denied_publish_disconnects:
            link.close(reason_code, "not authorized to publish")
        else:
            self._tell_error(session, f"PUBLISH to {publish.topic_name!r}: {reason}", now)

    def _tell_error(self, session: Session, line: str, now: int) -> None:
        """Publish a line for a client whose protocol has no place for a reason."""
        topic_name = error_topic(session.client_id)
        if topic_name:
            self.publish_own(Publish(topic_name, line[:1000].encode()), now)

    def _retain(self, publish: Publish, now: int) -> None:
        """Keep a retained message; its acknowledgement waits until the journal has stored it."""
        expires_at = expires_at_of(publish.properties, now)
        if self._retained.store(as_message(publish), expires_at, now):
            self._exchanges.kept = True
        else:
            self._stats.drop(RETAINED_FULL)

    # --- from the house ---

    def publish_own(self, publish: Publish, now: int) -> int:
        """Publish for the house; return how many clients' queues and watchers it entered."""
        if publish.retain:
            self._retain(publish, now)
        route = self._tree.find(publish.topic_name)
        taken = self._show(publish, route, now)
        if route.targets or route.groups:
            taken += self._courier.deliver(self._house, publish, route, now)
        self._exchanges.kept = False
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
        route = self._tree.find(publish.topic_name)
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
        self._courier.deliver(self._house, publish, others, now)
        for target in acknowledging:
            self._exchanges.offer(
                target.session,
                Outgoing(publish, 1, False, target.subscription_ids, expires_at, receipt),
                now,
            )
        self._exchanges.kept = False
        if not acknowledging:
            receipt.lost(QOS0_UNKNOWABLE)
        return True


def _run_end(publishes: list[Publish], index: int) -> int:
    """Return where the run of everyday QoS 1 messages of one topic ends that goes on at `index`."""
    topic_name = publishes[index - 1].topic_name
    count = len(publishes)
    while index < count:
        publish = publishes[index]
        if (
            publish.topic_name is not topic_name
            or publish.qos != 1
            or publish.retain
            or publish.properties is not None
        ):
            break
        index += 1
    return index


def error_topic(client_id: str) -> str:
    """Return where a client finds why its messages were refused; "" if its id fits no topic."""
    if not client_id or any(sign in client_id for sign in "/+#"):
        return ""
    return f"$SYS/broker/clients/{client_id}/errors"


def _answer_again(ticket: InboundTicket, link: Link) -> None:
    if ticket.outstanding == 0:
        ticket.answer(link)
    elif ticket.link is not link:
        ticket.link = link
        link.acks.append(ticket)


def _is_device(session: Session, exact: bool, device: int) -> bool:
    grant = session.grant
    return grant.device == device or (grant.anonymous and exact)
