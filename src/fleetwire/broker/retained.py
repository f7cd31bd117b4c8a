"""RetainedMessages: the last retained message of each Topic Name (MQTT 5.0 §3.3.1.3).

A tree with one level per node, as that of the subscriptions: a filter costs by what it matches and
not by how much is kept.
"""

from collections.abc import Iterator

from fleetwire.broker.journal import Journal
from fleetwire.protocol.packets import Publish

SYS = "$SYS/"  # what the house says of itself: said anew after a start, and not journaled


class Retained:
    """One retained message. Instants in microseconds UTC.

    `expires_at` 0 = never; `stored_at` 0 = before the last start.
    """

    __slots__ = ("expires_at", "publish", "stored_at")

    def __init__(self, publish: Publish, expires_at: int, stored_at: int) -> None:
        self.publish = publish
        self.expires_at = expires_at
        self.stored_at = stored_at


class _Node:
    __slots__ = ("children", "kept")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.kept: Retained | None = None


class RetainedMessages:
    """Kept by Topic Name, bounded in number; the journal is told of each change."""

    def __init__(self, maximum: int, maximum_bytes: int, journal: Journal) -> None:
        self._root = _Node()
        self._by_topic: dict[str, Retained] = {}
        self._maximum = maximum
        self._maximum_bytes = maximum_bytes
        self.bytes = 0  # of names and payloads
        self._journal = journal

    def __len__(self) -> int:
        return len(self._by_topic)

    def __iter__(self) -> Iterator[Retained]:
        return iter(self._by_topic.values())

    def get(self, topic_name: str) -> Retained | None:
        """Return the retained message of this Topic Name, expired or not."""
        return self._by_topic.get(topic_name)

    def store(self, publish: Publish, expires_at: int, now: int = 0) -> bool:
        """Keep, replace or (empty payload) remove; return False if there is no room."""
        if not publish.payload:
            # [MQTT-3.3.1-6] [MQTT-3.3.1-7] An empty payload removes and is not stored.
            self.remove(publish.topic_name)
            return True
        if not self.restore(publish, expires_at, now):
            return False
        if not publish.topic_name.startswith(SYS):
            self._journal.keep_retained(publish, expires_at)
        return True

    def restore(self, publish: Publish, expires_at: int, now: int = 0) -> bool:
        """Keep or replace what the journal knows already; return False if there is no room."""
        topic_name = publish.topic_name
        known = self._by_topic.get(topic_name)
        grows_by = _size(publish) - (_size(known.publish) if known is not None else 0)
        is_own = topic_name.startswith(SYS)  # a few, and what they say is why others find no room
        if self.bytes + grows_by > self._maximum_bytes and grows_by > 0 and not is_own:
            return False
        if known is not None:
            self.bytes += grows_by
            known.publish = publish
            known.expires_at = expires_at
            known.stored_at = now
            return True
        if len(self._by_topic) >= self._maximum and not is_own:
            return False
        self.bytes += grows_by
        node = self._root
        for level in topic_name.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        node.kept = self._by_topic[topic_name] = Retained(publish, expires_at, now)
        return True

    def remove(self, topic_name: str) -> bool:
        """Forget the message of a Topic Name; return whether there was one."""
        kept = self._by_topic.pop(topic_name, None)
        if kept is None:
            return False
        self.bytes -= _size(kept.publish)
        if not topic_name.startswith(SYS):
            self._journal.keep_retained(Publish(topic_name, b""), 0)
        levels = topic_name.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].kept = None
        for depth in range(len(levels), 0, -1):
            node = path[depth]
            if node.children or node.kept is not None:
                break
            del path[depth - 1].children[levels[depth - 1]]
        return True

    def remove_expired(self, now: int) -> None:
        """Forget what has expired."""
        expired = [
            kept for kept in self._by_topic.values() if kept.expires_at and kept.expires_at <= now
        ]
        for kept in expired:
            self.remove(kept.publish.topic_name)

    def find(self, topic_filter: str, now: int) -> list[Retained]:
        """Return what matches and has not expired."""
        if "+" not in topic_filter and "#" not in topic_filter:
            one = self._by_topic.get(topic_filter)
            found = [one] if one is not None else []
        else:
            found = self._match(topic_filter.split("/"))
        return [kept for kept in found if not kept.expires_at or kept.expires_at > now]

    def _match(self, levels: list[str]) -> list[Retained]:
        found: list[Retained] = []
        nodes = [self._root]
        for depth, level in enumerate(levels):
            if level == "#":
                for node in nodes:
                    # "sport/#" also matches "sport" (§4.7.1.2).
                    _gather(node, depth == 0, found)
                return found
            if level == "+":
                nodes = [
                    child
                    for node in nodes
                    for name, child in node.children.items()
                    # [MQTT-4.7.2-1] A wildcard that comes first does not match a name with $.
                    if depth > 0 or not name.startswith("$")
                ]
            else:
                nodes = [node.children[level] for node in nodes if level in node.children]
            if not nodes:
                return found
        for node in nodes:
            if node.kept is not None:
                found.append(node.kept)
        return found


def _size(publish: Publish) -> int:
    return len(publish.topic_name) + len(publish.payload)


def _gather(node: _Node, is_root: bool, found: list[Retained]) -> None:
    """Add everything at and below this node; at the root nothing whose name begins with $."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.kept is not None:
            found.append(one.kept)
        for name, child in one.children.items():
            if not (is_root and one is node and name.startswith("$")):
                waiting.append(child)
