"""ExternalSource: the broker where devices are, as this server's own.

    external broker -> SourceCrossing -> the bridge's session -> Broker -> Source -> Road
                    <- PUBACK / PUBREC, once the road has committed

Theory of operation. It is a bridge without prefixes: what comes in passes this server's broker as
the messages of its own clients do, so its acknowledgement is a ticket that the road releases, and
what the house says waits in the bridge's bounded, journaled queue while the other side is away.
Commands do not wait there: while the way is closed they stay queued in their own table, where each
has its deadline, and the house hears when the way opens.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from fleetwire.broker.broker import Broker
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Outgoing, Receipt, Session
from fleetwire.net.bridge.bridge import Bridge
from fleetwire.net.bridge.crossing import Crossing
from fleetwire.net.bridge.mapping import Mapping
from fleetwire.net.bridge.remote import Remote
from fleetwire.net.bridge.status import CONNECTED, BridgeStatus, Retry, State
from fleetwire.net.external.crossing import SourceCrossing
from fleetwire.net.external.plan import SourcePlan
from fleetwire.protocol.packets import Connack, Publish

# All devices are behind this one connection: it may be asked for more often than a bridge's.
RETRY = Retry(0.5, 8.0)
# A cut of the network is noticed within so long. TCP alone takes longer, also after the repair.
KEEP_ALIVE_S = 15
REMEMBERED_TOPICS = 100_000  # as many as the router knows by heart


class ExternalSource(Bridge):
    """The bridge to the broker where devices are. `turned` is called when the way opens or closes.

    Does not: reach the other side's sessions. Whether a device is connected there is known only by
    what the device, or its Will, says.
    """

    title = "external broker"
    keep_alive_s = KEEP_ALIVE_S

    def __init__(
        self,
        plan: SourcePlan,
        broker: Broker,
        server_id: str,
        *,
        maximum_packet_size: int = 1024 * 1024,
        retry: Retry | None = None,
        told: Callable[[Bridge], None] | None = None,
    ) -> None:
        super().__init__(
            plan,
            broker,
            server_id,
            maximum_packet_size=maximum_packet_size,
            retry=retry if retry is not None else RETRY,
            told=told,
        )
        self.turned: Callable[[bool], None] | None = None
        self._broker = broker
        self._share = plan.share
        self._mapping = Mapping(plan.topics, REMEMBERED_TOPICS)
        self._house = Session("", Grant("system", [], []))

    @property
    def status(self) -> BridgeStatus:
        status = super().status
        refused = {} if self._crossing is None else self._crossing.refused
        if self.is_open and refused:
            said = ", ".join(f"{each} ({why})" for each, why in refused.items())
            return replace(status, reason=f"the broker refuses subscriptions: {said}"[:1000])
        return status

    @property
    def is_open(self) -> bool:
        """Whether messages come and go now."""
        return self._state == CONNECTED

    @property
    def is_shared(self) -> bool:
        """Whether the present connection's subscriptions are shared with others of our group."""
        return isinstance(self._crossing, SourceCrossing) and self._crossing.is_shared

    def send_to_device(
        self,
        publish: Publish,
        expires_at: int,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
    ) -> bool:
        """Publish QoS 1 with a receipt; False while the way is closed, then nothing is sent.

        `delivered` is called when the other broker acknowledges, which says that it has the message
        and, in MQTT 5, that somebody there is subscribed to its topic; `lost` when nobody is, or
        it was refused, or `expires_at` (microseconds UTC, 0 = never) passed first.
        """
        if not self.is_open:
            return False
        now = time.time_ns() // 1000
        for taker in self._broker.tree.find(publish.topic_name).takers:
            if not taker.holds_tickets:  # those who look on; what the house says it does not ingest
                taker.take(Delivery(publish, self._house, now, None))
        receipt = Receipt(delivered, lost)
        receipt.pending = 1
        exchanges = self._broker.exchanges
        exchanges.offer(
            self._local.session, Outgoing(publish, 1, False, None, expires_at, receipt), now
        )
        exchanges.kept = False
        return True

    def _join(self, remote: Remote, connack: Connack) -> Crossing:
        return SourceCrossing(
            self.plan.name,
            remote,
            connack,
            self._local,
            self._mapping,
            self.counts,
            self._server_id,
            self._remote_id,
            subscribed=self._is_subscribed,
            held=self._is_held,
            share=self._share,
        )

    def _enter(self, state: State, reason: str) -> None:
        was_open = self.is_open
        super()._enter(state, reason)
        if self.turned is not None and self.is_open != was_open:
            self.turned(self.is_open)
