"""Person: somebody who publishes and subscribes, and what he may."""

from collections.abc import Callable, Collection, Sequence

from fleetwire.apps.messaging.rules import (
    ADMINISTRATOR,
    EVERYONE,
    LEVELS,
    OPERATOR,
    Rule,
    filled,
    is_level,
)
from fleetwire.kit import Caller, ForbiddenError
from fleetwire.kit.topics import matches, overlap

REMEMBERED_TOPICS = 512


def user_ids_of(caller: Caller) -> tuple[str, ...]:
    """Return the names that templates know him by; the first is how he is shown.

    That is the `sub` of another issuer's token, and the number of the account. A `sub` that is a
    mere number could be the number of somebody else's account, so it does not count.
    """
    number = str(caller.account_id) if caller.account_id else caller.actor
    if caller.subject and is_level(caller.subject) and not caller.subject.isdecimal():
        return (caller.subject, number)
    return (number,)


class Person:
    """What one caller may, decided once and remembered for the topics he uses."""

    def __init__(
        self,
        caller: Caller,
        rules: Sequence[Rule],
        rooms: Collection[str],
        first_organization_id: int,
    ) -> None:
        """Raise ForbiddenError for devices: they speak MQTT."""
        if caller.device_id or caller.is_anonymous:
            raise ForbiddenError("This is for people who have signed in, and for keys.")
        self.caller = caller
        self.user_ids = user_ids_of(caller)
        self.reads: list[str] = []
        self.writes: list[str] = []
        self._may_read: dict[str, bool] = {}
        level = LEVELS.index(_level_of(caller))
        is_key = caller.actor.startswith("key:")
        for rule in rules:
            found = list(
                filled(
                    rule.template,
                    user_ids=self.user_ids,
                    organization_id=caller.organization_id,
                    rooms=rooms,
                    is_of_first=caller.organization_id == first_organization_id,
                )
            )
            # A key has what it was given, whatever the rules say of people.
            if _reaches(level, rule.read) and not (
                is_key and "message.read" not in caller.permissions
            ):
                self.reads += found
            if _reaches(level, rule.write) and not (
                is_key and "message.publish" not in caller.permissions
            ):
                self.writes += found

    @property
    def user_id(self) -> str:
        """How he is shown."""
        return self.user_ids[0]

    @property
    def organization_id(self) -> int:
        """His organisation."""
        return self.caller.organization_id

    def may_read(self, topic: str) -> bool:
        """Say whether messages of this topic may reach him."""
        known = self._may_read.get(topic)
        if known is None:
            known = any(matches(each, topic) for each in self.reads)
            if len(self._may_read) >= REMEMBERED_TOPICS:
                self._may_read.clear()
            self._may_read[topic] = known
        return known

    def reader(self) -> Callable[[str], bool]:
        """Return `may_read` as it is now, for a thread of the store."""
        reads = tuple(self.reads)
        return lambda topic: any(matches(each, topic) for each in reads)

    def may_write(self, topic: str) -> bool:
        """Say whether he may publish to this topic."""
        return any(matches(each, topic) for each in self.writes)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Say whether there is a topic of this filter that he may read.

        What else the filter matches does not reach him.
        """
        return any(overlap(each, topic_filter) for each in self.reads)


def _level_of(caller: Caller) -> str:
    if "account.manage" in caller.permissions:
        return ADMINISTRATOR
    return OPERATOR if "command.send" in caller.permissions else EVERYONE


def _reaches(level: int, needed: str) -> bool:
    return needed in LEVELS and level >= LEVELS.index(needed)
