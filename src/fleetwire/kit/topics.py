"""Topics: MQTT's rules of Topic Names and Topic Filters, for apps that decide by them."""

from fleetwire.errors import InvalidValueError
from fleetwire.protocol import topics
from fleetwire.protocol.errors import ProtocolError

MAX_LEVELS = 32


class BadTopicError(InvalidValueError):
    """It is no Topic Name, or no Topic Filter, or one that is not for everybody (400)."""

    status = 400


def check_topic_name(topic: str) -> None:
    """Raise BadTopicError unless messages may be published to this topic; never under `$`."""
    try:
        topics.check_topic_name(topic, MAX_LEVELS)
    except ProtocolError as error:
        raise BadTopicError(str(error), field="topic") from None
    _check_open(topic)


def check_topic_filter(topic_filter: str) -> None:
    """Raise BadTopicError unless it is a Topic Filter; `$share/…` and `$SYS/…` are none here."""
    try:
        topics.check_topic_filter(topic_filter, MAX_LEVELS)
    except ProtocolError as error:
        raise BadTopicError(str(error), field="topic") from None
    _check_open(topic_filter)


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a Topic Filter matches a Topic Name."""
    return topics.matches(topic_filter, topic)


def covers(granted: str, asked: str) -> bool:
    """Say whether a Topic Filter matches every Topic Name that another one matches."""
    return topics.covers(granted, asked)


def overlap(one: str, other: str) -> bool:
    """Say whether there is a Topic Name that both Topic Filters match."""
    ours, theirs = one.split("/"), other.split("/")
    for index in range(max(len(ours), len(theirs))):
        mine = ours[index] if index < len(ours) else None
        its = theirs[index] if index < len(theirs) else None
        if mine == "#" or its == "#":
            return True  # also what lies just above it: "sport/#" matches "sport"
        if mine is None or its is None:
            return False
        if mine != its and mine != "+" and its != "+":
            return False
    return True


def _check_open(topic: str) -> None:
    if topic.startswith("$"):
        raise BadTopicError("Topics that begin with $ belong to the broker.", field="topic")
