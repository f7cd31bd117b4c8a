"""What the settings of the app say, and what is wrong in them."""

import json

import pytest

from fleetwire.apps.messaging.rules import Rule
from fleetwire.apps.messaging.terms import DEFAULT_HISTORY, Terms
from fleetwire.kit import SettingsError


def test_without_settings_the_defaults_hold() -> None:
    assert Terms.of({}) == Terms()
    assert Terms.of({}).history == DEFAULT_HISTORY
    for rule in Terms().rules:
        rule.check()


def test_rules_and_history_are_told() -> None:
    rules = [{"template": "cars/{userId}/#", "read": "everyone"}]
    terms = Terms.of(
        {
            "MESSAGING_TOPICS": json.dumps(rules),
            "MESSAGING_HISTORY": "cars/#, cars/+/a ,bikes/#",
            "MESSAGING_HISTORY_DAYS": "7",
        }
    )
    assert terms == Terms(
        (Rule("cars/{userId}/#", "everyone", "nobody"),), ("cars/#", "bikes/#"), 7
    )
    assert Terms.of({"MESSAGING_HISTORY": ""}).history == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MESSAGING_TOPICS", "{"),
        ("MESSAGING_TOPICS", '[{"read": "everyone"}]'),
        ("MESSAGING_TOPICS", '[{"template": "a", "reads": "everyone"}]'),
        ("MESSAGING_TOPICS", '[{"template": "a", "read": "anyone"}]'),
        ("MESSAGING_TOPICS", '[{"template": "a/#/b"}]'),
        ("MESSAGING_TOPICS", '[{"template": "$SYS/#"}]'),
        ("MESSAGING_HISTORY", "a/#/b"),
        ("MESSAGING_HISTORY", "a/+,+/b"),
        ("MESSAGING_HISTORY_DAYS", "0"),
        ("MESSAGING_HISTORY_DAYS", "ever"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Terms.of({name: value})
