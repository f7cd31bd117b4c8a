"""Local: the bridge's own session in this broker, without a socket.

Its queue is bounded and journaled as that of every persistent session, so what waits for the other
side survives a restart. While the bridge runs the session is never without a link: nobody can take
its Client Identifier, and what has QoS 0 and cannot be sent is counted.
"""

import asyncio
import time
from collections.abc import Callable

from fleetwire.broker.broker import NEVER, Broker
from fleetwire.broker.grants import Grant
from fleetwire.broker.link import InboundTicket, Link
from fleetwire.broker.session import Session
from fleetwire.errors import FleetwireError
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.packets import (
    Ack,
    Connect,
    Packet,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
)

IDENTITY = "bridge:"  # and the bridge's name: who its session is

RETAINED_ALWAYS = 0  # Retain Handling (MQTT 5.0 §3.8.3.1)
RETAINED_NEVER = 2


class LocalSessionError(FleetwireError):
    """The broker has no session for the bridge; the text says why."""


class LocalLink(Link):
    """One stretch of the session: the packets of each loop turn go to `hear`, if somebody hears."""

    def __init__(
        self, hear: Callable[[list[Packet]], None] | None, ended: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.version = c.V5
        self.congested = hear is None
        self._hear = hear
        self._ended = ended
        # What it decodes is what our own encoder has made.
        self._decoder = Decoder(c.LARGEST_REMAINING_LENGTH, version=c.V5, is_server=False)

    def wake(self) -> None:
        asyncio.get_running_loop().call_soon(self._flush)

    def close(self, reason_code: int, reason: str) -> None:
        if not self.closed:
            self.leave()
            self._ended(f"its session here was ended: {reason}")

    def leave(self) -> None:
        """Take no more; whoever heard goes on by another link."""
        self.closed = True
        self.output.clear()

    def _flush(self) -> None:
        data = b"".join(self.output)
        self.output.clear()
        self.acknowledged = 0  # our own bound is the length of `acks`
        if self._hear is not None and not self.closed:
            self._hear(self._decoder.feed(data))


class LocalSession:
    """The session of the bridge `name`; it may publish to `publish`, and subscribes to `filters`.

    `ended` is called when somebody has ended the session; it is then to be attached again.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        publish: list[str],
        filters: dict[str, int],
        ended: Callable[[str], None],
    ) -> None:
        self.client_id = f"bridge/{name}"
        self._broker = broker
        self._grant = Grant(IDENTITY + name, publish, list(filters))
        self._filters = filters
        self._ended = ended
        self._link: LocalLink | None = None
        self._session: Session | None = None
        self._unsent: set[str] = set()  # Topic Filters whose retained messages nobody has had yet

    @property
    def session(self) -> Session:
        """The broker's session."""
        assert self._session is not None, "the bridge is not attached"
        return self._session

    @property
    def link(self) -> LocalLink:
        """The present link."""
        assert self._link is not None, "the bridge is not attached"
        return self._link

    @property
    def queued(self) -> int:
        """How many messages wait for the other side, or for its acknowledgement."""
        session = self._session
        return 0 if session is None else len(session.queue) + len(session.inflight)

    def attach(self, hear: Callable[[list[Packet]], None] | None, window: int) -> None:
        """Begin a new stretch. Without `hear` everything is kept for later.

        Raises LocalSessionError if the broker gives us no session, or refuses a subscription.
        """
        now = _now()
        self.detach()
        link = LocalLink(hear, self._ended)
        connect = Connect(c.V5, self.client_id, False, 0)
        connect.properties = {c.SESSION_EXPIRY_INTERVAL: NEVER, c.RECEIVE_MAXIMUM: window}
        opened = self._broker.open(link, connect, self.client_id, self._grant, now)
        if opened.session is None:
            raise LocalSessionError(opened.reason)
        session = self._session = opened.session
        self._link = link
        # However long the other side is away, and we too: it is the settings that end a bridge.
        session.expiry_interval = NEVER
        self._broker.journal.keep_session(session)
        self._match_filters(session)

    def _match_filters(self, session: Session) -> None:
        """Let the session subscribe to what the settings say now, and to nothing else."""
        known = session.subscriptions
        old = [each for each in known if each not in self._filters]
        if old:
            self._broker.unsubscribe(session, Unsubscribe(1, list(old)))
        self._unsent.update(each for each in self._filters if each not in known)
        changed = [
            each
            for each, qos in self._filters.items()
            if each not in known or known[each][0].qos != qos
        ]
        if changed:
            self._subscribe(changed, RETAINED_NEVER)

    def resume(self, *, with_retained: bool) -> None:
        """Send what was not acknowledged, what has waited, and retained messages if wanted."""
        self._broker.resume(self.session, _now())
        unsent = list(self._filters) if with_retained else sorted(self._unsent)
        self._unsent.clear()
        if unsent:
            self._subscribe(unsent, RETAINED_ALWAYS)

    def detach(self) -> None:
        """End the stretch; the session goes on."""
        link, self._link = self._link, None
        if link is not None and self._session is not None:
            link.leave()
            self._broker.close(self._session, link, with_will=False, now=_now())

    def _subscribe(self, filters: list[str], retain_handling: int) -> None:
        subscriptions = [
            # No Local: what the other side sent does not go back to it.
            Subscription(each, self._filters[each], True, True, retain_handling)
            for each in filters
        ]
        outcome = self._broker.subscribe(self.session, Subscribe(1, subscriptions), _now())
        for topic_filter, code in outcome:
            if code >= c.UNSPECIFIED_ERROR:
                raise LocalSessionError(
                    f"{topic_filter!r} cannot be subscribed to here: {c.reason_name(code)}"
                )

    # --- from the other side ---

    def publish(self, publishes: list[Publish]) -> None:
        """Publish what the other side sent; its acknowledgement comes as a packet."""
        self._broker.publish(self.session, publishes, _now())

    def acknowledge(self, acks: list[Ack]) -> None:
        """Take the other side's acknowledgements."""
        self._broker.acknowledge(self.session, acks, _now())

    def pass_over(self, publish: Publish) -> None:
        """Acknowledge a message that is not published, in its turn [MQTT-4.6.0-2]."""
        ticket = InboundTicket(self.link, publish.packet_id, publish.qos, self.session)
        self.link.acks.append(ticket)
        ticket.settle()

    def give_up(self, publish: Publish) -> None:
        """End the exchange of a message that does not go to the other side."""
        if publish.qos:
            kind = c.PUBACK if publish.qos == 1 else c.PUBREC
            self.acknowledge([Ack(kind, publish.packet_id, c.IMPLEMENTATION_SPECIFIC_ERROR)])

    def forget_received(self) -> None:
        """The other side has lost its session: its packet ids stand for nothing any more."""
        for packet_id in list(self.session.received):
            self.session.forget_received(packet_id)

    def turn(self, congested: bool) -> None:
        """The other side stopped, or began again, to read."""
        self.link.congested = congested
        if not congested:
            self._broker.uncongested(self.session, _now())


def _now() -> int:
    return time.time_ns() // 1000
