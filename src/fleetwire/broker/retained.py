"""RetainedMessages: the last retained message of each Topic Name (MQTT 5.0 §3.3.1.3)."""

from fleetwire.protocol.packets import Publish
from fleetwire.protocol.topics import matches


class RetainedMessages:
    """Kept by Topic Name, bounded in number."""

    def __init__(self, maximum: int) -> None:
        self._by_topic: dict[str, tuple[Publish, int]] = {}
        self._maximum = maximum

    def __len__(self) -> int:
        return len(self._by_topic)

    def store(self, publish: Publish, expires_at: int) -> bool:
        """Keep, replace or (empty payload) remove; return False if there is no room."""
        topic_name = publish.topic_name
        if not publish.payload:
            # [MQTT-3.3.1-6] [MQTT-3.3.1-7] An empty payload removes and is not stored.
            self._by_topic.pop(topic_name, None)
            return True
        if topic_name not in self._by_topic and len(self._by_topic) >= self._maximum:
            return False
        self._by_topic[topic_name] = (publish, expires_at)
        return True

    def find(self, topic_filter: str, now: int) -> list[tuple[Publish, int]]:
        """Return what matches and has not expired, each with its expiry."""
        if "+" not in topic_filter and "#" not in topic_filter:
            one = self._by_topic.get(topic_filter)
            found = [one] if one is not None else []
        else:
            found = [kept for name, kept in self._by_topic.items() if matches(topic_filter, name)]
        return [kept for kept in found if not kept[1] or kept[1] > now]
