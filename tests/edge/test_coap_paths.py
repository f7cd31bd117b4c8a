"""CoAP's paths and its bounds, without a socket."""

from typing import Any

import pytest
from aiocoap import POST, Message, error  # type: ignore[import-untyped]  # it has no types
from aiocoap.blockwise import ContinueException  # type: ignore[import-untyped]  # likewise

from fleetwire.edge.coap import spool as spools
from fleetwire.edge.coap.paths import Paths, body_of
from fleetwire.edge.coap.spool import BoundedSpool
from fleetwire.errors import InvalidValueError
from fleetwire.kit import Coap

PATHS = Paths(
    Coap(
        receives=("pots/{device_id}/poured",),
        named_by={"poured": ("pot", "pots/{device_id}/poured")},
        shows={"pots/{device_id}/state": lambda connection, device: None},
        commands=("pots/{device_id}/commands",),
    )
)


def test_a_path_is_the_topic_of_its_name() -> None:
    assert PATHS.topic_of("pots/a/poured", None) == "pots/a/poured"
    assert PATHS.topic_of("pots/a/nothing", None) is None
    assert PATHS.topic_of("pots/a/state", None) is None


def test_a_field_names_the_device_and_is_taken_out() -> None:
    body: dict[str, Any] = {"pot": "a", "value": 1}
    assert PATHS.topic_of("poured", body) == "pots/a/poured"
    assert body == {"value": 1}
    wrong: list[Any] = [{}, None, [], {"pot": 5}, {"pot": ""}, {"pot": "a/b"}, {"pot": "+"}]
    for each in wrong:
        with pytest.raises(InvalidValueError) as told:
            PATHS.topic_of("poured", each)
        assert told.value.field == "pot"


def test_a_get_is_for_what_is_shown() -> None:
    state = PATHS.asked("pots/a/state")
    commands = PATHS.asked("pots/a/commands")
    assert state is not None
    assert commands is not None
    assert (state.device_id, state.show is None, commands.show) == ("a", False, None)
    assert PATHS.asked("pots/a/poured") is None


def test_what_is_no_json_is_no_body() -> None:
    assert body_of(b'{"a":1}') == {"a": 1}
    for payload in (b"", b"\xff", b"wet", b"[" * 100_000):
        assert body_of(payload) is None


class Remote:
    """Where a block comes from."""

    def __init__(self, name: str) -> None:
        self.blockwise_key = name


def block(number: int, *, more: bool, remote: str = "a") -> Any:
    message = Message(code=POST, payload=b"x" * 1024, block1=(number, more, 6))
    message.remote = Remote(remote)
    return message


async def test_requests_that_come_in_blocks_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "MOST_BYTES", 2048)
    monkeypatch.setattr(spools, "MOST_UNDER_WAY", 1)
    spool = BoundedSpool()
    with pytest.raises(error.RequestEntityTooLarge):
        spool.feed_and_take(block(2, more=True))
    with pytest.raises(error.RequestEntityTooLarge):
        spool.feed_and_take(Message(code=POST, payload=b"x" * 2049))
    assert spool.feed_and_take(Message(code=POST, payload=b"x")).payload == b"x"
    with pytest.raises(ContinueException):
        spool.feed_and_take(block(0, more=True))
    with pytest.raises(error.ServiceUnavailable):
        spool.feed_and_take(block(0, more=True, remote="b"))
    whole = spool.feed_and_take(block(1, more=False))
    assert len(whole.payload) == 2048
