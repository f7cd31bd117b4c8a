"""A query as SQL and as Python: both say the same of every device."""

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, not_, or_

from fleetwire.features.areas.repository import stands_within
from fleetwire.features.areas.rules import is_within
from fleetwire.features.devices.facts import facts_of
from fleetwire.features.devices.query import All, Node, Not, Term
from fleetwire.features.devices.tables import device_facts, device_tags, devices
from fleetwire.kit.services import DeviceRecord

_ORDER: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)


def condition(node: Node) -> ColumnElement[bool]:
    """Return the condition that holds for the rows of `devices` that a query means."""
    if isinstance(node, Term):
        return _condition_of(node)
    if isinstance(node, Not):
        return not_(condition(node.part))
    parts = [condition(part) for part in node.parts]
    return and_(*parts) if isinstance(node, All) else or_(*parts)


def matches(node: Node, device: DeviceRecord) -> bool:
    """Say whether a query means this device."""
    if isinstance(node, Term):
        return _holds(node, device)
    if isinstance(node, Not):
        return not matches(node.part, device)
    parts = (matches(part, device) for part in node.parts)
    return all(parts) if isinstance(node, All) else any(parts)


def _condition_of(term: Term) -> ColumnElement[bool]:
    if term.field == "tag":
        return exists().where(device_tags.c.device == devices.c.id, device_tags.c.tag == term.text)
    if term.field == "area":
        return stands_within(devices.c.id, term.text)
    if term.field == "connected":
        return devices.c.connected.is_(term.text == "true")
    if term.field != "attr":
        return devices.c[term.field] == term.text
    column = device_facts.c.number if term.number is not None else device_facts.c.text
    value = term.number if term.number is not None else term.text
    compare: Callable[[Any, Any], Any] = _ORDER.get(term.sign, operator.eq)
    found = exists().where(
        device_facts.c.device == devices.c.id,
        device_facts.c.name == term.name,
        compare(column, value),
    )
    return not_(found) if term.sign == "!=" else found


def _holds(term: Term, device: DeviceRecord) -> bool:
    if term.field == "tag":
        return term.text in device.tags
    if term.field == "area":
        return device.area is not None and is_within(device.area, term.text)
    if term.field == "connected":
        return device.connected is (term.text == "true")
    if term.field != "attr":
        return bool(getattr(device, term.field) == term.text)
    text, number = facts_of(device.attributes).get(term.name, (None, None))
    if term.number is None:
        found = text == term.text
    else:
        compare: Callable[[Any, Any], Any] = _ORDER.get(term.sign, operator.eq)
        found = number is not None and bool(compare(number, term.number))
    return not found if term.sign == "!=" else found
