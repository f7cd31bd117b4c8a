"""`fleetwire publish` and `fleetwire subscribe` against the embedded broker."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fleetwire.cli.console import printable
from tests.cli.conftest import BrokerThread, Run


def test_a_retained_message_is_published_and_seen(run: Run, broker: BrokerThread) -> None:
    published = run("publish", "lamp/1", "on", "--retain", "--port", broker.port)
    assert published.status == 0
    assert "Acknowledged" in published.err
    seen = run("subscribe", "lamp/#", "--count", 1, "--timeout", "5s", "--port", broker.port)
    assert seen.status == 0
    assert seen.out == "lamp/1 on\n"


def test_a_payload_may_come_from_a_file_or_standard_input(
    run: Run, broker: BrokerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reading.json").write_text('{"value": 1}')
    run("publish", "t/file", "@reading.json", "--retain", "--port", broker.port)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from stdin")))
    run("publish", "t/stdin", "-", "--retain", "--port", broker.port)
    seen = run("subscribe", "t/#", "--count", 2, "--timeout", "5s", "--port", broker.port)
    assert sorted(seen.out.splitlines()) == ['t/file {"value": 1}', "t/stdin from stdin"]


def test_a_file_that_is_not_there(run: Run) -> None:
    outcome = run("publish", "t", "@missing.json")
    assert (outcome.status, outcome.err) == (
        1,
        "fleetwire: missing.json cannot be read: No such file or directory\n",
    )


def test_nothing_listens(run: Run, free_port: int) -> None:
    outcome = run("publish", "t", "x", "--port", free_port)
    assert outcome.status == 1
    assert outcome.err == f"fleetwire: Nothing listens at 127.0.0.1:{free_port}\n"


def test_a_wrong_password(run: Run, broker: BrokerThread) -> None:
    outcome = run("publish", "t", "x", "-u", "me", "-P", "wrong", "--port", broker.port)
    assert outcome.status == 1
    assert "Bad User Name or Password (0x86)" in outcome.err


def test_no_password_where_one_is_demanded(run: Run, strict_broker: BrokerThread) -> None:
    outcome = run("subscribe", "t", "--port", strict_broker.port)
    assert outcome.status == 1
    assert "Not authorized (0x87)" in outcome.err


def test_a_topic_that_is_not_ours(run: Run, broker: BrokerThread) -> None:
    me = ("-u", "me", "-P", "right", "--port", broker.port)
    assert run("publish", "mine/a", "x", *me).status == 0
    refused = run("publish", "yours/a", "x", *me)
    assert refused.status == 1
    assert "yours/a was refused: Not authorized (0x87)" in refused.err
    refused = run("subscribe", "mine/#", "yours/#", *me)
    assert refused.status == 1
    assert "yours/# was refused: Not authorized (0x87)" in refused.err


def test_a_wildcard_in_a_topic_name(run: Run, broker: BrokerThread) -> None:
    outcome = run("publish", "t/#", "x", "--port", broker.port)
    assert outcome.status == 1
    assert "wildcard" in outcome.err


def test_too_few_messages_in_time(run: Run, broker: BrokerThread) -> None:
    outcome = run("subscribe", "t", "--count", 1, "--timeout", "100ms", "--port", broker.port)
    assert outcome.status == 1
    assert "0 of 1 messages came within 0.1 s." in outcome.err


def test_time_over_without_a_count_is_a_good_end(run: Run, broker: BrokerThread) -> None:
    assert run("subscribe", "t", "--timeout", "50ms", "--port", broker.port).status == 0


def test_the_ports_of_the_settings_hold(
    run: Run, broker: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_MQTT_PORT", str(broker.port))
    assert run("publish", "t", "x").status == 0
    monkeypatch.setenv("MQTT_BROKER_URL", f"mqtt://me:right@127.0.0.1:{broker.port}")
    assert run("publish", "mine/a", "x").status == 0
    assert run("publish", "yours/a", "x").status == 1


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"plain \xc3\xa4", "plain ä"),
        (b"two\nlines\x1b[31m", "two\\nlines\\x1b[31m"),
        (b"\xff\x00", "<2 bytes: ff 00>"),
        (b"\xff" * 40, f"<40 bytes: {'ff ' * 32}…>"),
        (b"", ""),
    ],
)
def test_a_payload_cannot_give_orders_to_a_terminal(payload: bytes, shown: str) -> None:
    assert printable(payload) == shown
