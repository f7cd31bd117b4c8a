"""Rules: who may read and write which topics, as templates.

    app/users/{userId}/#              what belongs to somebody
    app/chat/rooms/{roomId}           a room, for its members
    app/chat/direct/{a}/{b}           for the two of them, whichever way round
    organizations/{organizationId}/#  for everybody of an organisation

Any other `{name}` is a level where everything is allowed. A template without one of the places
above is for people of the first organisation only: the topic says nothing of whose it is.

Does not: say no to anybody. Rules add up; what none of them gives nobody has.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from fleetwire.kit import DomainError, SettingsError
from fleetwire.kit.topics import check_topic_filter

EVERYONE = "everyone"
OPERATOR = "operator"
ADMINISTRATOR = "administrator"
NOBODY = "nobody"
LEVELS = (EVERYONE, OPERATOR, ADMINISTRATOR)  # in rising order


@dataclass(frozen=True)
class Rule:
    """`read` and `write` are the lowest role that may, or `everyone`, or `nobody`."""

    template: str
    read: str = NOBODY
    write: str = NOBODY

    def check(self) -> None:
        """Raise SettingsError if it makes no sense."""
        check_template(self.template, "MESSAGING_TOPICS")
        for name in (self.read, self.write):
            if name not in (*LEVELS, NOBODY):
                raise SettingsError(
                    f"MESSAGING_TOPICS: {name!r} of {self.template!r} must be one of "
                    f"{', '.join((*LEVELS, NOBODY))}"
                )


DEFAULT_RULES = (
    Rule("app/users/{userId}/#", EVERYONE, EVERYONE),
    Rule("app/users/{anybody}/#", NOBODY, ADMINISTRATOR),
    Rule("app/chat/rooms/{roomId}", EVERYONE, EVERYONE),
    Rule("app/chat/direct/{a}/{b}", EVERYONE, EVERYONE),
    Rule("notifications/{userId}", EVERYONE, NOBODY),
    Rule("notifications/{anybody}", NOBODY, ADMINISTRATOR),
    Rule("app/broadcast/#", EVERYONE, ADMINISTRATOR),
    Rule("broadcast/#", EVERYONE, ADMINISTRATOR),
    Rule("app/sensors/#", EVERYONE, NOBODY),
    Rule("sensors/#", EVERYONE, NOBODY),
    Rule("organizations/{organizationId}/#", EVERYONE, EVERYONE),
    # Where people begin: rooms that are nobody's in particular.
    Rule("chat/#", EVERYONE, EVERYONE),
    Rule("test/#", EVERYONE, EVERYONE),
)


def check_template(template: str, setting: str) -> None:
    """Raise SettingsError unless it is a Topic Filter with places for whole levels."""
    try:
        check_topic_filter(open_filter(template))
    except DomainError as error:
        raise SettingsError(f"{setting}: {template!r}: {error.message}") from None


def open_filter(template: str) -> str:
    """Return the Topic Filter of a template with every value in its places."""
    return "/".join("+" if _name(level) else level for level in template.split("/"))


def _name(level: str) -> str:
    return level[1:-1] if level.startswith("{") and level.endswith("}") else ""


def is_level(value: str) -> bool:
    """Say whether a value can stand as one level of a topic without changing it."""
    return bool(value) and not any(sign in value for sign in "/+#\0") and not value.startswith("$")


def filled(
    template: str,
    *,
    user_ids: Collection[str],
    organization_id: int,
    rooms: Collection[str],
    is_of_first: bool,
) -> Iterator[str]:
    """Yield the Topic Filters that a template comes to for somebody; none = it is not for him."""
    names = [_name(level) for level in template.split("/")]
    is_direct = "a" in names and "b" in names
    if not is_direct and not is_of_first and not {"userId", "roomId", "organizationId"} & {*names}:
        return
    users = [each for each in user_ids if is_level(each)]
    # For each kind of place, what may stand there.
    choices: list[dict[str, str]] = [{"organizationId": str(organization_id)}]
    if "userId" in names:
        choices = [{**each, "userId": user} for each in choices for user in users]
    if "roomId" in names:
        choices = [{**each, "roomId": room} for each in choices for room in rooms]
    if is_direct:
        choices = [{**each, party: user} for each in choices for user in users for party in "ab"]
    for choice in choices:
        yield "/".join(
            choice.get(name, "+") if name else level
            for name, level in zip(names, template.split("/"), strict=True)
        )
