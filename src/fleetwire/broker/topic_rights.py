"""Topic rights: Topic Filters with places for who the client is, filled when it connects.

    devices/{device_id}/data    ->  devices/bp-1/data
    floors/{floor}/{client_id}  ->  floors/+/reader-7

`{device_id} {client_id} {username} {organization} {role}` stand for the client; any other name is
a place where every value is allowed. A right that cannot be filled safely is not given, and never
a wider one instead.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import Template, check_topic_filter

PLACES: Final = ("device_id", "client_id", "username", "organization", "role")


class Withheld(NamedTuple):
    """A right that a client does not get, and why."""

    template: str
    reason: str


class TopicRights(NamedTuple):
    """The Topic Filters a client is granted, and what was withheld from it."""

    filters: list[str]
    withheld: list[Withheld]


def fill(templates: Iterable[str], values: Mapping[str, str]) -> TopicRights:
    """Return the rights of a client of whom these values are known, by the names of PLACES."""
    filters: list[str] = []
    withheld: list[Withheld] = []
    for template in templates:
        levels = template.split("/")
        fault = ""
        for index, level in enumerate(levels):
            if level[:1] != "{" or level[-1:] != "}":
                continue
            name = level[1:-1]
            if name not in PLACES:
                levels[index] = "+"
                continue
            value = values.get(name, "")
            fault = fault or _fault(name, value, is_first=index == 0)
            levels[index] = value
        if fault:
            withheld.append(Withheld(template, fault))
        else:
            filters.append("/".join(levels))
    return TopicRights(filters, withheld)


def _fault(name: str, value: str, *, is_first: bool) -> str:
    """Return why a value cannot stand as one level of a Topic Filter, "" if it can."""
    if not value:
        return f"the client has no {name}"
    if "/" in value or "+" in value or "#" in value or "\0" in value:
        return f"the client's {name} contains '/', '+', '#' or U+0000"
    if is_first and value.startswith("$"):
        return f"the client's {name} begins with $, which topics of the server do"
    return ""


def check(template: str) -> None:
    """Pass a template of a right. Raises InvalidTopicError, whose text says what is wrong."""
    if template.startswith("$share/"):
        raise InvalidTopicError("A right is given on topics; shared subscriptions are judged by it")
    check_topic_filter(Template(template).filter)
