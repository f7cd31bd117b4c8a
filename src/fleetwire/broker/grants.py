"""Grant: who a client is and what it may do, decided once at CONNECT, asked for every packet."""

from fleetwire.protocol.topics import covers, matches

REMEMBERED_TOPICS = 256  # a device has few topics; a scanner with many must not fill our memory


class Grant:
    """What a client was found to be.

    `device` is our integer key of the device it is (0 = it is no device), `credential` that of the
    credential it used (0 = none), so that revoking it can find its connections. `identity` says
    who it is in words: `device:medical/bp-1`, `account:17`, `anonymous`. `publish` and `subscribe`
    are Topic Filters; `expires_at` (microseconds UTC, 0 = never) ends the connection.
    """

    __slots__ = (
        "_may_publish",
        "_may_receive",
        "anonymous",
        "app",
        "credential",
        "device",
        "expires_at",
        "identity",
        "organization_id",
        "publish",
        "subscribe",
    )

    def __init__(
        self,
        identity: str,
        publish: list[str],
        subscribe: list[str],
        *,
        organization_id: int = 0,
        app: str = "",
        device: int = 0,
        credential: int = 0,
        expires_at: int = 0,
        anonymous: bool = False,
    ) -> None:
        self.identity = identity
        self.publish = publish
        self.subscribe = subscribe
        self.organization_id = organization_id
        self.app = app
        self.device = device
        self.credential = credential
        self.expires_at = expires_at
        self.anonymous = anonymous
        self._may_publish: dict[str, bool] = {}
        self._may_receive: dict[str, bool] = {}

    def may_publish(self, topic_name: str) -> bool:
        """Say whether a message may be published to this Topic Name."""
        known = self._may_publish.get(topic_name)
        if known is None:
            known = any(matches(allowed, topic_name) for allowed in self.publish)
            if len(self._may_publish) >= REMEMBERED_TOPICS:
                self._may_publish.clear()
            self._may_publish[topic_name] = known
        return known

    def may_receive(self, topic_name: str) -> bool:
        """Say whether a message of this Topic Name may be sent to the client."""
        known = self._may_receive.get(topic_name)
        if known is None:
            known = any(matches(allowed, topic_name) for allowed in self.subscribe)
            if len(self._may_receive) >= REMEMBERED_TOPICS:
                self._may_receive.clear()
            self._may_receive[topic_name] = known
        return known

    def may_subscribe(self, topic_filter: str) -> bool:
        """Say whether everything this Topic Filter can match is granted."""
        return any(covers(allowed, topic_filter) for allowed in self.subscribe)
