"""Subscribing: SUBSCRIBE and UNSUBSCRIBE carried out (MQTT 5.0 §3.8 to §3.11)."""

from fleetwire.broker.courier import Courier
from fleetwire.broker.exchanges import Exchanges
from fleetwire.broker.intake import error_topic
from fleetwire.broker.journal import Journal
from fleetwire.broker.limits import Limits
from fleetwire.broker.session import RetainedForOne, Session
from fleetwire.broker.subscriptions import SubscriptionTree, Target
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_suback, encode_unsuback
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.packets import Properties, Subscribe, Subscription, Unsubscribe
from fleetwire.protocol.topics import check_topic_filter, split_shared


class Subscribing:
    """What sessions subscribe to, as far as they may, and the retained messages it brings them."""

    def __init__(
        self,
        limits: Limits,
        tree: SubscriptionTree,
        courier: Courier,
        exchanges: Exchanges,
        journal: Journal,
    ) -> None:
        self._limits = limits
        self._tree = tree
        self._courier = courier
        self._exchanges = exchanges
        self._journal = journal

    def subscribe(self, session: Session, packet: Subscribe, now: int) -> list[tuple[str, int]]:
        """Carry out SUBSCRIBE, write SUBACK and then retained messages.

        Returns each Topic Filter with its reason code, for those who watch.
        """
        link = session.link
        if link is None:
            return []
        if not _has_room_for_codes(session, len(packet.subscriptions)):
            link.close(c.PACKET_TOO_LARGE, "the client has no room for its SUBACK")
            return []
        identifier = _subscription_identifier(packet.properties)
        outcome: list[tuple[str, int]] = []
        retained: dict[str, Target] = {}  # by filter: one given twice is served once
        for subscription in packet.subscriptions:
            topic_filter = subscription.topic_filter
            code = self._may_subscribe(session, subscription)
            if code < 0x80:
                is_new = self._tree.subscribe(session, subscription, identifier)
                session.subscriptions[topic_filter] = (subscription, identifier)
                if session.is_persistent:
                    self._journal.keep_subscription(session, subscription, identifier)
                # MQTT 5.0 §3.3.1.3: Retain Handling 0 always, 1 for a new subscription, 2 never;
                # and never for a shared one.
                handling = subscription.retain_handling
                if (handling == 0 or (handling == 1 and is_new)) and not _is_shared(topic_filter):
                    retained[topic_filter] = Target(session, subscription, identifier, False)
            outcome.append((topic_filter, code))
        codes = [code if link.version == c.V5 or code < 0x80 else 0x80 for _, code in outcome]
        suback = encode_suback(packet.packet_id, codes, None, link.version)

        def answer() -> None:
            link.write(suback)
            if session.link is link and retained:
                for topic_filter, target in retained.items():
                    session.retained_waiting.append(RetainedForOne(target, topic_filter))
                self._courier.pump(session, now)
                self._exchanges.kept = False  # nobody's acknowledgement stands for these

        if session.is_persistent:
            self._journal.when_stored(answer)
        else:
            answer()
        return outcome

    def _may_subscribe(self, session: Session, subscription: Subscription) -> int:
        try:
            topic_filter = split_shared(subscription.topic_filter)[1]
            check_topic_filter(subscription.topic_filter, self._limits.topic_levels)
            check_topic_filter(topic_filter, self._limits.topic_levels)
        except InvalidTopicError:
            return c.TOPIC_FILTER_INVALID
        if not _may_have(session, subscription.topic_filter):
            return c.NOT_AUTHORIZED
        if (
            len(session.subscriptions) >= self._limits.subscriptions
            and subscription.topic_filter not in session.subscriptions
        ):
            return c.QUOTA_EXCEEDED
        return subscription.qos

    def unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        """Carry out UNSUBSCRIBE and write UNSUBACK."""
        link = session.link
        if link is not None and not _has_room_for_codes(session, len(packet.topic_filters)):
            link.close(c.PACKET_TOO_LARGE, "the client has no room for its UNSUBACK")
            return
        codes = []
        for topic_filter in packet.topic_filters:
            found = self._unsubscribe(session, topic_filter)
            codes.append(0 if found else c.NO_SUBSCRIPTION_EXISTED)
        if link is None:
            return
        unsuback = encode_unsuback(packet.packet_id, codes, None, link.version)
        if session.is_persistent:
            self._journal.when_stored(lambda: link.write(unsuback))
        else:
            link.write(unsuback)

    def _unsubscribe(self, session: Session, topic_filter: str) -> bool:
        if session.subscriptions.pop(topic_filter, None) is None:
            return False
        self._tree.unsubscribe(session, topic_filter)
        if session.is_persistent:
            self._journal.drop_subscription(session, topic_filter)
        return True

    def drop_forbidden(self, session: Session) -> None:
        """Take from a session what its grant does not allow any more."""
        for topic_filter in list(session.subscriptions):
            if not _may_have(session, topic_filter):
                self._unsubscribe(session, topic_filter)


def _has_room_for_codes(session: Session, count: int) -> bool:
    """Say whether the client accepts a SUBACK or UNSUBACK with so many codes [MQTT-3.1.2-24]."""
    limit = session.maximum_packet_size
    return limit == 0 or len(encode_suback(1, [0] * count, None, c.V5)) <= limit


def _may_have(session: Session, topic_filter: str) -> bool:
    """Say whether a client may have all that this filter matches; its own errors it always may."""
    asked = split_shared(topic_filter)[1]
    return session.grant.may_subscribe(asked) or topic_filter == error_topic(session.client_id)


def _is_shared(topic_filter: str) -> bool:
    return topic_filter.startswith("$share/")


def _subscription_identifier(properties: Properties | None) -> int:
    found = (properties or {}).get(c.SUBSCRIPTION_IDENTIFIER)
    if isinstance(found, list) and found and isinstance(found[0], int):
        return found[0]
    return found if isinstance(found, int) else 0
