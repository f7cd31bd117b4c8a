"""Terms: what the app is told by settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fleetwire.apps.messaging.rules import DEFAULT_RULES, Rule, check_template
from fleetwire.kit import SettingsError
from fleetwire.kit.topics import covers, overlap

# Topics whose messages are stored, so that who was away gets them later.
DEFAULT_HISTORY = (
    "app/users/#",
    "app/chat/#",
    "app/broadcast/#",
    "notifications/#",
    "broadcast/#",
    "chat/#",
)
KEEP_DAYS = 30.0


@dataclass(frozen=True)
class Terms:
    """`rules` say who may read and write what; `history` are Topic Filters."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    history: tuple[str, ...] = DEFAULT_HISTORY
    keep_days: float = KEEP_DAYS

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Terms":
        """Return what these settings say. Raises SettingsError naming the one that is wrong."""
        return cls(
            rules=_rules(settings.get("MESSAGING_TOPICS", "").strip()),
            history=_history(settings),
            keep_days=_days(settings.get("MESSAGING_HISTORY_DAYS", "").strip()),
        )


def _rules(text: str) -> tuple[Rule, ...]:
    if not text:
        return DEFAULT_RULES
    try:
        said: list[dict[str, Any]] = msgspec.json.decode(text, type=list[dict[str, Any]])
        rules = tuple(Rule(**each) for each in said)
    except (msgspec.DecodeError, TypeError) as error:
        raise SettingsError(
            f"MESSAGING_TOPICS must be a JSON list of "
            f'{{"template": …, "read": …, "write": …}}: {error}'
        ) from None
    for rule in rules:
        rule.check()
    return rules


def _history(settings: Mapping[str, str]) -> tuple[str, ...]:
    if "MESSAGING_HISTORY" not in settings:
        return DEFAULT_HISTORY
    filters = tuple(
        each.strip() for each in settings["MESSAGING_HISTORY"].split(",") if each.strip()
    )
    for each in filters:
        check_template(each, "MESSAGING_HISTORY")
    # A message is stored once: what another filter covers is left out.
    kept = [each for each in dict.fromkeys(filters) if not _is_covered(each, filters)]
    for index, each in enumerate(kept):
        for other in kept[:index]:
            if overlap(each, other):
                raise SettingsError(
                    f"MESSAGING_HISTORY: {other!r} and {each!r} match some topics both. "
                    "Name one filter that covers them."
                )
    return tuple(kept)


def _is_covered(topic_filter: str, filters: tuple[str, ...]) -> bool:
    return any(each != topic_filter and covers(each, topic_filter) for each in filters)


def _days(text: str) -> float:
    if not text:
        return KEEP_DAYS
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise SettingsError(f"MESSAGING_HISTORY_DAYS={text!r} must be a number of days up to 36500")
    return days
