"""SourceCrossing: one connection to the broker where devices are.

What it does otherwise than a bridge: topics have one name on both sides; a message goes to the road
as it came; what the broker says of a command's receivers reaches the command.
"""

import asyncio
from typing import Any

from fleetwire.net.bridge.crossing import FILTERS_AT_ONCE, Crossing
from fleetwire.net.bridge.loops import HOPS, has_been_at, with_hop
from fleetwire.net.bridge.remote import Remote
from fleetwire.net.external.plan import NOBODY, SHARE
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_unsubscribe
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Packet,
    Properties,
    Publish,
    Subscription,
    Unsuback,
)

NEVER_RETAINED = 2  # Retain Handling (MQTT 5.0 §3.8.3.1)
RETAINED = "retained before we subscribed"


class SourceCrossing(Crossing):
    """Shares its subscriptions with others of the group `share`, where the broker can do that."""

    def __init__(
        self, name: str, remote: Remote, connack: Connack, *arguments: Any, share: str, **more: Any
    ) -> None:
        super().__init__(name, remote, connack, *arguments, **more)
        said = connack.properties or {}
        can_share = remote.version == c.V5 and said.get(c.SHARED_SUBSCRIPTION_AVAILABLE, 1) == 1
        self._prefix = f"$share/{share}/" if share and can_share else ""
        self._unasked: set[int] = set()  # UNSUBSCRIBE packets that are not answered

    @property
    def is_shared(self) -> bool:
        """Whether others of our group get a part of the messages."""
        return bool(self._prefix)

    def end(self) -> None:
        super().end()
        for packet_id in self._unasked:
            self._local.session.packet_ids.release(packet_id)
        self._unasked.clear()

    def _subscribe(self) -> None:
        if self._session_present:
            # Its session may have our subscriptions in another form: each message came twice.
            forms = {"", f"$share/{SHARE}/"} - {self._prefix}
            for prefix in sorted(forms):
                others = [prefix + each for each in self._mapping.remote_filters]
                for first in range(0, len(others), FILTERS_AT_ONCE):
                    self._unsubscribe(others[first : first + FILTERS_AT_ONCE])
        super()._subscribe()

    def _unsubscribe(self, topic_filters: list[str]) -> None:
        packet_id = self._local.session.packet_ids.allocate()
        self._unasked.add(packet_id)
        self.remote.write(encode_unsubscribe(packet_id, topic_filters, None, self.remote.version))

    def _subscriptions(self) -> list[Subscription]:
        # [MQTT-3.8.3-4] A shared subscription may not ask for No Local. Retain As Published is
        # off: RETAIN then says that a message is an old one.
        return [
            Subscription(self._prefix + each, qos, not self._prefix, False, NEVER_RETAINED)
            for each, qos in self._mapping.remote_filters.items()
        ]

    def _hear(self, packets: list[Packet]) -> None:
        if self._unasked:
            kept = []
            for packet in packets:
                if isinstance(packet, Unsuback) and packet.packet_id in self._unasked:
                    self._unasked.discard(packet.packet_id)
                    self._local.session.packet_ids.release(packet.packet_id)
                else:
                    kept.append(packet)
            packets = kept
        super()._hear(packets)

    def _mapped(self, publish: Publish) -> Publish | None:
        topic_name = publish.topic_name
        reason = ""
        if publish.retain:
            # What a device said at some time is no sign that it is there now.
            reason = RETAINED
        elif self.remote.version != c.V5:
            now = asyncio.get_running_loop().time()
            if self._echoes.is_echo(topic_name, publish.payload, now):
                reason = "echo"
        elif publish.properties and has_been_at(publish.properties, self._server_id):
            reason = "loop"
        if not reason and self._mapping.to_local(topic_name) is None:
            reason = "no rule"
        if not reason:
            return publish
        self._counts.drop(reason)
        return None

    def _send(self, publish: Publish) -> None:
        if publish.properties and _has_hops(publish.properties):
            # A bridge brought it in from a third broker; here goes only what the house says.
            self._local.give_up(publish)
        else:
            super()._send(publish)

    def _leaving(self, topic_name: str, properties: Properties | None) -> Properties | None:
        # A device need not see where its message has been, unless it could come back to us.
        if self._mapping.to_local(topic_name) is None:
            return properties
        return with_hop(properties, self._server_id)

    def _take_ack(self, ack: Ack) -> Ack | None:
        if ack.type == c.PUBACK and ack.reason_code:
            outgoing = self._local.session.inflight.get(ack.packet_id)
            if outgoing is not None and outgoing.receipt is not None:
                if ack.reason_code == c.NO_MATCHING_SUBSCRIBERS:
                    outgoing.receipt.lost(NOBODY)
                elif ack.reason_code >= c.UNSPECIFIED_ERROR:
                    name = c.reason_name(ack.reason_code)
                    outgoing.receipt.lost(f"the external broker refused it ({name})")
        return super()._take_ack(ack)


def _has_hops(properties: Properties) -> bool:
    pairs = properties.get(c.USER_PROPERTY)
    return isinstance(pairs, list) and any(
        isinstance(pair, tuple) and pair[0] == HOPS for pair in pairs
    )
