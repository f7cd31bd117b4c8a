"""SourcePlan: which broker devices are at, and what is wanted of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetwire.net.bridge.plan import BridgePlan, TopicRule
from fleetwire.protocol.topics import covers

SHARE = "fleetwire"  # the group of shared subscriptions, unless the settings name another one
SOURCE = "source"  # how it is called among the bridges
# Why a command is lost that the broker acknowledged: nobody can have got it.
NOBODY = "nobody listens to it at the external broker"
EVERYTHING = TopicRule("#", "out", 2)  # that the house says; topics under $ are not matched


@dataclass(frozen=True)
class SourcePlan(BridgePlan):
    """The external broker. `share` is the group of our shared subscriptions, "" = they are plain.

    Its topics are those that come in; what goes out is everything that this server itself says.
    """

    share: str = ""

    @property
    def title(self) -> str:
        """What it is, for people."""
        return "External broker"


def rules(filters: Iterable[str]) -> tuple[TopicRule, ...]:
    """Return what goes where if these Topic Filters are wanted; none is covered by another one."""
    return (EVERYTHING, *(TopicRule(each, "in", 2) for each in distinct(filters)))


def distinct(filters: Iterable[str]) -> list[str]:
    """Return the Topic Filters without those that others cover.

    A broker may send a message once for each subscription that matches (MQTT 5.0 §3.3.4).
    """
    wanted = sorted(set(filters))
    return [
        each
        for each in wanted
        if not any(other != each and covers(other, each) for other in wanted)
    ]


def overlap(one: str, other: str) -> bool:
    """Say whether a Topic Name can match both Topic Filters."""
    mine, theirs = one.split("/"), other.split("/")
    for my_level, their_level in zip(mine, theirs, strict=False):
        if "#" in (my_level, their_level):
            return True
        if my_level != their_level and "+" not in (my_level, their_level):
            return False
    if len(mine) == len(theirs):
        return True
    # `a/#` matches `a`, too [MQTT-4.7.1-2].
    longer, shorter = (mine, theirs) if len(mine) > len(theirs) else (theirs, mine)
    return longer[len(shorter) :] == ["#"]
