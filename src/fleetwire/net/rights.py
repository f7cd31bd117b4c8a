"""Rights at the door: filled for a client, and what was withheld is logged with its reason."""

from collections.abc import Iterable, Mapping

import structlog

from fleetwire.broker.topic_rights import fill

log = structlog.get_logger("fleetwire.net")


def granted(
    templates: Iterable[str], values: Mapping[str, str], identity: str, remote: str
) -> list[str]:
    """Return the Topic Filters that these templates come to for this client."""
    rights = fill(templates, values)
    for template, reason in rights.withheld:
        log.warning(
            "right withheld", right=template, identity=identity, remote=remote, reason=reason
        )
    return rights.filters
