"""Topic Names, Topic Filters and templates of them (MQTT 5.0 §4.7, §4.8)."""

from fleetwire.protocol.constants import LONGEST_STRING
from fleetwire.protocol.errors import InvalidTopicError, TopicFilterInvalidError

_SHARE = "$share/"


def check_topic_name(topic_name: str, maximum_levels: int = 0) -> None:
    """Pass a Topic Name that may be published to; `maximum_levels` 0 = any number.

    Raises InvalidTopicError, whose text says what is wrong.
    """
    fault = _fault(topic_name, maximum_levels)
    if not fault and ("+" in topic_name or "#" in topic_name):
        fault = "contains a wildcard"  # [MQTT-3.3.2-2] [MQTT-4.7.0-1]
    if fault:
        raise InvalidTopicError(f"Topic Name {fault}")


def check_topic_filter(topic_filter: str, maximum_levels: int = 0) -> None:
    """Pass a Topic Filter, also a shared one; `maximum_levels` 0 = any number.

    Raises TopicFilterInvalidError, whose text says what is wrong.
    """
    fault = _fault(topic_filter, 0)
    if fault:
        raise TopicFilterInvalidError(f"Topic Filter {fault}")
    _, bare = split_shared(topic_filter)
    fault = _fault(bare, maximum_levels)
    if fault:
        raise TopicFilterInvalidError(f"Topic Filter {fault}")
    if "+" not in bare and "#" not in bare:
        return
    levels = bare.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            # [MQTT-4.7.1-1] [MQTT-4.7.1-2]
            raise TopicFilterInvalidError("Topic Filter has a wildcard that is not a whole level")
    if "#" in levels[:-1]:
        # [MQTT-4.7.1-1]
        raise TopicFilterInvalidError("Topic Filter has '#' before its last level")


def _fault(topic: str, maximum_levels: int) -> str:
    """Return what is wrong with the characters or the size of a topic, "" if nothing is."""
    if not topic:
        return "is empty"  # [MQTT-4.7.3-1]
    if "\0" in topic:
        return "contains U+0000"  # [MQTT-4.7.3-2]
    try:
        size = len(topic) if topic.isascii() else len(topic.encode())
    except UnicodeEncodeError:
        return "contains a surrogate, which UTF-8 cannot hold"  # [MQTT-1.5.4-1]
    if size > LONGEST_STRING:
        return f"has {size} bytes; MQTT allows {LONGEST_STRING}"  # [MQTT-4.7.3-3]
    if maximum_levels and topic.count("/") >= maximum_levels:
        return f"has {topic.count('/') + 1} levels; {maximum_levels} are allowed"
    return ""


def split_shared(topic_filter: str) -> tuple[str | None, str]:
    """Return (share name, Topic Filter) of `$share/name/filter`, or (None, the filter itself).

    Raises TopicFilterInvalidError if it begins like a shared subscription and is none.
    """
    if not topic_filter.startswith(_SHARE):
        return None, topic_filter
    group, slash, bare = topic_filter[len(_SHARE) :].partition("/")
    if not group or "+" in group or "#" in group:
        # [MQTT-4.8.2-1] [MQTT-4.8.2-2]
        raise TopicFilterInvalidError(
            "Topic Filter starts with $share/ but has no share name, or one with a wildcard"
        )
    if not slash or not bare:
        # [MQTT-4.8.2-2]
        raise TopicFilterInvalidError("Topic Filter has nothing after its share name")
    return group, bare


def matches(topic_filter: str, topic_name: str) -> bool:
    """Say whether a valid Topic Filter (not a shared one) matches a valid Topic Name."""
    if topic_filter == topic_name:
        return True
    if topic_name.startswith("$") and topic_filter.startswith(("+", "#")):
        return False  # [MQTT-4.7.2-1]
    names = topic_name.split("/")
    count = len(names)
    index = 0
    for level in topic_filter.split("/"):
        if level == "#":
            return True  # also what lies just above it: "sport/#" matches "sport" (§4.7.1.2)
        if index >= count or (level != "+" and level != names[index]):
            return False
        index += 1
    return index == count


def covers(granted: str, asked: str) -> bool:
    """Say whether `granted` matches every Topic Name that `asked` matches.

    Both are Topic Filters; a shared `asked` is judged by its filter. It never says yes where that
    is not so; it says no to the odd pair `+/#` and `#`, which match the same.
    """
    try:
        _, bare = split_shared(asked)
    except TopicFilterInvalidError:
        return False
    if bare.startswith("$") and granted.startswith(("+", "#")):
        return False  # [MQTT-4.7.2-1]
    wanted = bare.split("/")
    count = len(wanted)
    index = 0
    for level in granted.split("/"):
        if level == "#":
            return True
        if index >= count:
            return False
        want = wanted[index]
        if want == "#" or (level != "+" and level != want):
            return False
        index += 1
    return index == count


class Template:
    """A Topic Filter whose single-level wildcards have names: `devices/{device_id}/data`.

    `filter` is the Topic Filter to subscribe to (`devices/+/data`), `names` are the placeholders
    in order. Wildcards without a name are allowed, but then it cannot be filled.
    Raises InvalidTopicError if a placeholder is not a whole level, is named twice or is no
    identifier, or if the filter is no Topic Filter.
    """

    __slots__ = ("_levels", "_names", "filter", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._levels: list[str] = []  # as in the filter, but "{" for a placeholder
        self._names: list[str] = []
        parts: list[str] = []
        for level in text.split("/"):
            if level.startswith("{") and level.endswith("}") and level[1:-1].isidentifier():
                name = level[1:-1]
                if name in self._names:
                    raise InvalidTopicError(f"Topic template {text!r} names {name} twice")
                self._names.append(name)
                self._levels.append("{")
                parts.append("+")
            elif "{" in level or "}" in level:
                raise InvalidTopicError(
                    f"Topic template {text!r}: a placeholder is a whole level, "
                    "written {name} with letters, digits and _"
                )
            else:
                self._levels.append(level)
                parts.append(level)
        self.filter = "/".join(parts)
        self.names = tuple(self._names)
        check_topic_filter(self.filter)

    def fill(self, **values: str) -> str:
        """Return the Topic Name with these values in their places.

        Raises InvalidTopicError if a value is missing, unknown, empty, or would change the topic's
        levels, and if the template has wildcards without a name.
        """
        if sorted(values) != sorted(self._names):
            raise InvalidTopicError(
                f"Topic template {self.text!r} takes {', '.join(self._names) or 'no values'}; "
                f"given {', '.join(sorted(values)) or 'none'}"
            )
        parts: list[str] = []
        taken = 0
        for level in self._levels:
            if level == "{":
                name = self._names[taken]
                taken += 1
                value = values[name]
                if not value:
                    raise InvalidTopicError(f"The value of {name} in a topic is empty")
                if "/" in value or "+" in value or "#" in value or "\0" in value:
                    raise InvalidTopicError(
                        f"The value of {name} in a topic contains '/', '+', '#' or U+0000"
                    )
                parts.append(value)
            else:
                parts.append(level)
        topic_name = "/".join(parts)
        check_topic_name(topic_name)
        return topic_name

    def match(self, topic_name: str) -> dict[str, str] | None:
        """Return the values by name if the Topic Name matches, else None."""
        if not matches(self.filter, topic_name):
            return None
        values: dict[str, str] = {}
        if self._names:
            names = topic_name.split("/")
            taken = 0
            for index, level in enumerate(self._levels):
                if level == "{":
                    values[self._names[taken]] = names[index]
                    taken += 1
        return values

    def __repr__(self) -> str:
        return f"Template({self.text!r})"
