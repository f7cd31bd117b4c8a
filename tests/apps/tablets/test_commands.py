"""What a tablet can be told, and how it reads it."""

import json
from typing import Any

import pytest

from fleetwire.apps.tablets.commands import (
    ACTIONS,
    checked,
    command_for,
    command_payload,
    receive_result,
)
from fleetwire.kit import Answer, DomainError
from tests.apps.tablets.workshop import Workshop

CONTRACT = (
    "LOCK_DEVICE UNLOCK_DEVICE RESTART_DEVICE OPEN_APP SHOW_MESSAGE PLAY_SOUND ENABLE_KIOSK "
    "DISABLE_KIOSK OPEN_CAMERA TAKE_PHOTO BLUETOOTH_ON BLUETOOTH_OFF SHUTDOWN_DEVICE "
    "DISABLE_CAMERA ENABLE_CAMERA SEND_DATA_NOW WIFI_ON WIFI_OFF"
)
PARAMS: dict[str, dict[str, Any]] = {
    "OPEN_APP": {"packageName": "com.example"},
    "SHOW_MESSAGE": {"title": "Hello", "message": "Come back"},
}


def test_the_actions_are_those_of_the_contract() -> None:
    """«`LOCK_DEVICE UNLOCK_DEVICE RESTART_DEVICE … WIFI_OFF`»"""
    assert " ".join(ACTIONS) == CONTRACT


@pytest.mark.parametrize("action", ACTIONS)
def test_a_tablet_reads_action_and_params(action: str) -> None:
    """«`{"action": …, "params": {…}}`»"""
    params = PARAMS.get(action, {})
    assert json.loads(command_payload(action, params)) == {"action": action, "params": params}


def test_actions_without_parameters_need_no_params() -> None:
    assert checked("lock_device", None) == ("LOCK_DEVICE", {})


@pytest.mark.parametrize(
    ("action", "params", "field"),
    [
        ("DANCE", {}, "action"),
        ("", {}, "action"),
        (None, {}, "action"),
        (["LOCK_DEVICE"], {}, "action"),
        ("OPEN_APP", {}, "params.packageName"),
        ("OPEN_APP", {"packageName": " "}, "params.packageName"),
        ("OPEN_APP", {"packageName": 5}, "params.packageName"),
        ("OPEN_APP", {"packageName": "x" * 256}, "params.packageName"),
        ("SHOW_MESSAGE", {"title": "Hello"}, "params.message"),
        ("SHOW_MESSAGE", {"message": "Hello"}, "params.title"),
        ("LOCK_DEVICE", {"for": "ever"}, "params.for"),
        ("LOCK_DEVICE", [], "params"),
        ("LOCK_DEVICE", "{}", "params"),
    ],
)
def test_what_a_tablet_would_not_understand_is_400(
    action: object, params: object, field: str
) -> None:
    """«400 (unknown action, missing param)»"""
    with pytest.raises(DomainError) as caught:
        checked(action, params)
    assert (caught.value.status, caught.value.field) == (400, field)


def test_a_restart_is_not_repeated_where_it_may_have_arrived(workshop: Workshop) -> None:
    device = workshop.device("tab-1")
    assert command_for(device, "RESTART_DEVICE", {}, 60, "x").retry is False
    assert command_for(device, "LOCK_DEVICE", {}, 60, "x").retry is None


@pytest.mark.parametrize(
    ("body", "success", "reason"),
    [
        ({"commandId": "c1", "success": True}, True, None),
        ({"commandId": "c1", "success": False, "error": "locked"}, False, "locked"),
        ({"commandId": "c1", "success": "true", "error": ""}, True, None),
    ],
)
def test_a_result_is_an_answer(
    workshop: Workshop, body: dict[str, Any], success: bool, reason: str | None
) -> None:
    """«`tablet/{id}/command_result {commandId, success, error}` (ours, optional) closes it»"""
    effects = workshop.receive(receive_result, "tab-1", body)
    [answer] = [each for each in effects if isinstance(each, Answer)]
    assert (answer.command_id, answer.success, answer.reason) == ("c1", success, reason)


@pytest.mark.parametrize(
    ("body", "field"), [({"success": True}, "commandId"), ({"commandId": "c1"}, "success")]
)
def test_a_result_without_command_or_outcome_is_refused(
    workshop: Workshop, body: dict[str, Any], field: str
) -> None:
    with pytest.raises(DomainError) as caught:
        workshop.receive(receive_result, "tab-1", body)
    assert caught.value.field == field
