"""What a device says of a command, and which command it means."""

import pytest

from fleetwire.kit import App, Device, Incoming, NotAcceptedError
from fleetwire.kit.answers import answer_of

DEVICE = Device(7, "demo", "d", 1, "thing", {})


def incoming(payload: bytes, correlation_data: bytes = b"") -> Incoming:
    return Incoming("demo/d/answers", payload, 1, False, "c", 1, correlation_data)


def test_correlation_data_names_the_command_and_the_payload_says_what_came_of_it() -> None:
    answer = answer_of(DEVICE, incoming(b'{"state":"failed","reason":"jam","result":3}', b"abc"))
    assert (answer.command_id, answer.state, answer.success) == ("abc", "failed", False)
    assert (answer.reason, answer.result) == ("jam", 3)


def test_an_empty_answer_is_a_success() -> None:
    answer = answer_of(DEVICE, incoming(b"", b"abc"))
    assert (answer.command_id, answer.state, answer.success) == ("abc", "succeeded", True)


def test_the_payload_may_name_the_command() -> None:
    answer = answer_of(DEVICE, incoming(b'{"command_id":"abc","state":"accepted"}'))
    assert (answer.command_id, answer.state) == ("abc", "accepted")


@pytest.mark.parametrize(
    ("payload", "correlation_data"),
    [
        (b"", b""),
        (b"{}", b""),
        (b"[]", b"abc"),
        (b"{", b"abc"),
        (b'{"state":"sent"}', b"abc"),
        (b'{"state":1}', b"abc"),
        (b"{}", b"a" * 33),
        (b"\xff", b"abc"),
        (b"[" * 100_000, b"abc"),
    ],
)
def test_what_is_no_answer_is_refused(payload: bytes, correlation_data: bytes) -> None:
    with pytest.raises(NotAcceptedError):
        answer_of(DEVICE, incoming(payload, correlation_data))


def test_an_app_with_a_response_topic_lets_its_devices_answer_there() -> None:
    app = App("demo", publishes=["a/{device_id}"], response_topic="answers/{device_id}")
    assert app.publishes == ["a/{device_id}", "answers/{device_id}"]
    assert app.answers_commands
    assert [each.template for each in app.subscriptions] == ["answers/{device_id}"]
    assert not App("plain").answers_commands
