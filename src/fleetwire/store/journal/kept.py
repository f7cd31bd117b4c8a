"""Kept: what the journal remembers of what it was told, so that it can say what a change means."""

from fleetwire.protocol.packets import Publish


class KeptMessage:
    """A message that is stored once, for all who still have it to come."""

    __slots__ = ("key", "publish", "references")

    def __init__(self, key: int, publish: Publish) -> None:
        self.key = key
        self.publish = publish
        self.references = 0


class KeptSession:
    """A session: its messages by the key of their Outgoing, and its QoS 2 packet ids."""

    __slots__ = ("client_id", "outgoing", "received")

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.outgoing: dict[int, KeptMessage] = {}
        self.received: set[int] = set()


class Kept:
    """All of it."""

    def __init__(self) -> None:
        self.sessions: dict[int, KeptSession] = {}
        self.keys: dict[str, int] = {}  # of sessions, by Client Identifier
        self.messages: dict[int, KeptMessage] = {}  # by id() of the message, which each one holds
        self.wills: set[str] = set()
        # The last keys given. None is given twice: an old row is never taken for a new one.
        self.last_session = 0
        self.last_message = 0
        self.last_outgoing = 0

    def add_session(self, key: int, client_id: str) -> KeptSession:
        """Remember a session under this key."""
        kept = KeptSession(client_id)
        self.sessions[key] = kept
        self.keys[client_id] = key
        return kept

    def add_message(self, key: int, publish: Publish) -> KeptMessage:
        """Remember a message under this key, without references yet."""
        message = KeptMessage(key, publish)
        self.messages[id(publish)] = message
        return message
