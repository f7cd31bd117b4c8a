"""Mapping: which topic here is which topic there."""

from fleetwire.net.bridge.plan import TopicRule
from fleetwire.protocol.topics import matches

REMEMBERED_TOPICS = 1024  # in each direction; a fleet's topics come again and again


class Mapping:
    """The rules of one bridge. Where several fit a topic, the first one counts."""

    def __init__(self, rules: tuple[TopicRule, ...], remembered: int = REMEMBERED_TOPICS) -> None:
        """`remembered` bounds how many topics are known by heart in each direction."""
        outgoing = [rule for rule in rules if rule.goes_out]
        incoming = [rule for rule in rules if rule.comes_in]
        # Topic Filters to subscribe to, here and there, with their QoS.
        self.local_filters = _filters([(rule.local_filter, rule.qos) for rule in outgoing])
        self.remote_filters = _filters([(rule.remote_filter, rule.qos) for rule in incoming])
        # What the other side may publish here.
        self.incoming_filters = sorted({rule.local_filter for rule in incoming})
        self._to_remote = _Way(
            [(rule.filter, rule.local_prefix, rule.remote_prefix) for rule in outgoing],
            remembered,
        )
        self._to_local = _Way(
            [(rule.filter, rule.remote_prefix, rule.local_prefix) for rule in incoming],
            remembered,
        )

    def to_remote(self, topic_name: str) -> str | None:
        """Return the other side's name of a topic of ours, None if no rule fits."""
        return self._to_remote.find(topic_name)

    def to_local(self, topic_name: str) -> str | None:
        """Return our name of a topic of the other side, None if no rule fits."""
        return self._to_local.find(topic_name)


class _Way:
    """One direction: (filter, prefix taken off, prefix put on) of each rule."""

    def __init__(self, rules: list[tuple[str, str, str]], remembered: int) -> None:
        self._rules = rules
        self._remembered = remembered
        self._known: dict[str, str | None] = {}

    def find(self, topic_name: str) -> str | None:
        try:
            return self._known[topic_name]
        except KeyError:
            if len(self._known) >= self._remembered:
                self._known.clear()
            found = self._known[topic_name] = self._apply(topic_name)
            return found

    def _apply(self, topic_name: str) -> str | None:
        for topic_filter, off, on in self._rules:
            if not topic_name.startswith(off):
                continue
            rest = topic_name[len(off) :]
            # `ward/#` also matches `ward`, which has no rest to put a prefix before.
            if rest and matches(topic_filter, rest):
                return on + rest
        return None


def _filters(pairs: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for topic_filter, qos in pairs:
        found[topic_filter] = max(qos, found.get(topic_filter, 0))
    return found
