"""The event message, and the log of what was done with a tablet."""

import pytest

from fleetwire.apps.tablets.action_log import EVENT_TYPES, latest, receive_event
from fleetwire.kit import DomainError
from tests.apps.tablets.workshop import AT, Workshop, pushed

EVENTS = "BOOT|SHUTDOWN|LOCK|UNLOCK|APP_OPENED|APP_CLOSED|KIOSK_ENABLED|KIOSK_DISABLED|ERROR"


def test_the_events_are_those_of_the_contract() -> None:
    assert EVENTS.split("|") == list(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENTS.split("|"))
def test_every_event_is_logged_and_pushed(workshop: Workshop, event_type: str) -> None:
    """«`eventType BOOT|SHUTDOWN|…|ERROR, message, timestamp`: action log; … push `device_event`»

    «`device_event {eventType,message,timestamp}`»
    """
    body = {"eventType": event_type, "message": "why", "timestamp": AT // 1000 - 1000}
    effects = workshop.receive(receive_event, "tab-1", body)
    [told] = pushed(effects, "device.event")
    expected = {"eventType": event_type, "message": "why", "timestamp": "2026-01-31T11:59:59.000Z"}
    assert told == expected
    [line] = latest(workshop.tx.connection, workshop.row("tab-1").id, 20)
    assert (line["kind"], line["action"], line["message"]) == ("event", event_type, "why")
    assert line["by"] == "device:tab-1"


def test_kiosk_events_set_the_kiosk_mode(workshop: Workshop) -> None:
    """«KIOSK_* sets `kioskMode`»"""
    for event_type, is_on in (
        ("KIOSK_ENABLED", True),
        ("LOCK", True),
        ("KIOSK_DISABLED", False),
        ("BOOT", False),
    ):
        workshop.receive(receive_event, "tab-1", {"eventType": event_type})
        assert workshop.row("tab-1").kiosk_mode is is_on


@pytest.mark.parametrize("event_type", ["DANCE", "", None, 5])
def test_an_unknown_event_is_refused(workshop: Workshop, event_type: object) -> None:
    with pytest.raises(DomainError) as caught:
        workshop.receive(receive_event, "tab-1", {"eventType": event_type})
    assert caught.value.field == "eventType"


def test_an_empty_message_is_a_message(workshop: Workshop) -> None:
    """«`0`, `false` and `""` are values, not absences»"""
    for message in ("", None):
        body = {"eventType": "ERROR", "message": message}
        workshop.receive(receive_event, "tab-1", body)
    lines = latest(workshop.tx.connection, workshop.row("tab-1").id, 2)
    assert [each["message"] for each in lines] == [None, ""]


def test_the_log_is_newest_first_and_paged(workshop: Workshop) -> None:
    for event_type in ("BOOT", "LOCK", "UNLOCK"):
        workshop.receive(receive_event, "tab-1", {"eventType": event_type})
    tablet = workshop.row("tab-1").id
    assert [each["action"] for each in latest(workshop.tx.connection, tablet, 2)] == [
        "UNLOCK",
        "LOCK",
    ]
    assert [each["action"] for each in latest(workshop.tx.connection, tablet, 2, 2)] == ["BOOT"]
