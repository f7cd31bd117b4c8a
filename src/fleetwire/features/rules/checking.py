"""What a chain must be like to be stored."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.cron import Cron
from fleetwire.features.rules.program import Program
from fleetwire.features.rules.variables import Variables
from fleetwire.kit.rules import RuleChain, RuleDraft

MAX_NAME_CHARS: Final = 200
MAX_DESCRIPTION_CHARS: Final = 2000
MAX_ID_CHARS: Final = 64
MAX_BYTES: Final = 256 * 1024  # of one chain as JSON
MAX_LEVELS: Final = 220  # of lists and objects within each other: more cannot be written as JSON


def checked(organization_id: int, app: str, draft: RuleDraft, registry: Registry) -> Program:
    """Return the chain made ready, apart from all others. Raises InvalidValueError."""
    if not 1 <= len(draft.name) <= MAX_NAME_CHARS or not draft.name.isprintable():
        raise InvalidValueError(
            f"name must be printable text of 1 to {MAX_NAME_CHARS} characters", field="name"
        )
    if len(draft.description) > MAX_DESCRIPTION_CHARS:
        raise InvalidValueError(
            f"description must not have more than {MAX_DESCRIPTION_CHARS} characters",
            field="description",
        )
    for place, node in enumerate(draft.nodes):
        if _levels(node.config) > MAX_LEVELS:
            raise InvalidValueError("it is nested too deeply", field=f"nodes.{place}.config")
    try:
        size = len(msgspec.json.encode(draft))
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError) as error:
        raise InvalidValueError(f"it has no form in JSON: {error}", field="nodes") from None
    if size > MAX_BYTES:
        raise InvalidValueError(
            f"a chain must not be larger than {MAX_BYTES} bytes as JSON", field="nodes"
        )
    if draft.schedule is not None:
        Cron(draft.schedule.cron, draft.schedule.timezone)
    return Program(0, organization_id, RuleChain(app, "", draft, 0, 0), Variables(registry.find))


def check_chain_id(chain_id: str) -> str:
    """Return the id. Raises InvalidValueError unless it can stand in a path."""
    is_plain = chain_id.isascii() and chain_id.replace("-", "").replace("_", "").isalnum()
    if not is_plain or len(chain_id) > MAX_ID_CHARS:
        raise InvalidValueError(
            f"id must have 1 to {MAX_ID_CHARS} letters, digits, - or _", field="id"
        )
    return chain_id


def _levels(said: Any) -> int:
    """Return how many lists and objects stand within each other, at most; counted without end."""
    deepest = 0
    waiting = [(said, 1)]
    while waiting:
        each, level = waiting.pop()
        deepest = max(deepest, level)
        waiting += [(part, level + 1) for part in _parts(each)]
    return deepest


def _parts(said: Any) -> Iterator[Any]:
    if isinstance(said, dict):
        yield from said.values()
    elif isinstance(said, list):
        yield from said
