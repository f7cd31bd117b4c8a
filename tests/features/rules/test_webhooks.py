"""Webhooks: what is sent, how often, and where not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleetwire.features.rules.webhook import WebhookError, Webhooks
from fleetwire.kit import RuleNode
from tests.features.rules.house import RuleHub, open_hub, when


class Receiver:
    """A server that answers with the next of `answers`, then 200, and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.came: asyncio.Queue[tuple[str, dict[str, str], Any]] = asyncio.Queue()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        status = self.answers.pop(0) if self.answers else 200
        self.came.put_nowait((first, headers, msgspec.json.decode(body)))
        writer.write(f"HTTP/1.1 {status} As told\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def next(self) -> tuple[str, dict[str, str], Any]:
        return await asyncio.wait_for(self.came.get(), 5)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RuleHub]:
    environment = {"FLEETWIRE_RULES_PRIVATE_WEBHOOKS": "yes"}
    async with open_hub(tmp_path, environment=environment) as hub:
        yield hub


def webhook(receiver: Receiver, **said: Any) -> RuleNode:
    said = {"url": f"http://127.0.0.1:{receiver.port}/hook?a=1"} | said
    return RuleNode("a", "action", {"type": "WEBHOOK", "webhook": said})


async def outcome_of(hub: RuleHub) -> tuple[str, str | None]:
    """Return what became of the webhook, as the run's log tells it."""
    await hub.house.rules.outbox.idle.wait()
    node = (await hub.log())[0].nodes[-1]
    return node.outcome, node.error


async def test_a_webhook_carries_what_the_chain_says(hub: RuleHub, receiver: Receiver) -> None:
    said = {"headers": {"X-Barn": "7"}, "body": {"now": "{{temperature}}"}}
    await hub.make(when(), webhook(receiver, **said))
    await hub.send(temperature=31)
    first, headers, body = await receiver.next()
    assert first == "POST /hook?a=1 HTTP/1.1"
    assert body == {"now": 31}
    assert headers["x-barn"] == "7"
    assert headers["content-type"] == "application/json"
    assert await outcome_of(hub) == ("delivered", None)


async def test_without_a_body_it_tells_what_happened(hub: RuleHub, receiver: Receiver) -> None:
    await hub.make(when(), webhook(receiver), name="Too warm")
    await hub.send(temperature=31)
    _, _, body = await receiver.next()
    assert body["chain"] == {"app": "barn", "id": "c", "name": "Too warm"}
    assert body["values"] == {"s-1.temperature": 31}


async def test_it_is_tried_again_with_the_same_key_until_it_is_taken(
    hub: RuleHub, receiver: Receiver
) -> None:
    receiver.answers = [503, 429]
    await hub.make(when(), webhook(receiver))
    await hub.send(temperature=31)
    keys = set()
    for _ in range(3):
        _, headers, _ = await receiver.next()
        keys.add(headers["idempotency-key"])
        await hub.house.rules.outbox.idle.wait()
        hub.clock.at += 600_000_000
        hub.house.rules.outbox.look()
    assert len(keys) == 1
    assert await outcome_of(hub) == ("delivered", None)


async def test_what_is_refused_for_good_is_not_tried_again(
    hub: RuleHub, receiver: Receiver
) -> None:
    receiver.answers = [404]
    await hub.make(when(), webhook(receiver))
    await hub.send(temperature=31)
    await receiver.next()
    assert await outcome_of(hub) == ("failed", "it answered 404")
    assert hub.house.rules.outbox.has_room(1, 10_000)


async def test_what_nobody_takes_is_given_up_and_the_log_says_so(
    hub: RuleHub, receiver: Receiver
) -> None:
    receiver.answers = [500] * 8
    await hub.make(when(), webhook(receiver))
    await hub.send(temperature=31)
    for _ in range(8):
        await receiver.next()
        await hub.house.rules.outbox.idle.wait()
        hub.clock.at += 600_000_000
        hub.house.rules.outbox.look()
    assert await outcome_of(hub) == ("failed", "it answered 500")
    assert receiver.came.empty()


async def test_what_waits_is_sent_after_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    environment = {"FLEETWIRE_RULES_PRIVATE_WEBHOOKS": "yes"}
    receiver.answers = [503]
    async with open_hub(tmp_path, environment=environment) as hub:
        await hub.make(when(), webhook(receiver))
        await hub.send(temperature=31)
        await receiver.next()
        await hub.house.rules.outbox.idle.wait()
        at = hub.clock.at
    async with open_hub(tmp_path, environment=environment) as hub:
        hub.clock.at = at + 600_000_000
        hub.house.rules.outbox.look()
        await receiver.next()
        assert await outcome_of(hub) == ("delivered", None)


async def test_a_full_outbox_fails_the_run_and_says_so(
    hub: RuleHub, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.rules.outbox.MOST_WAITING", 0)
    await hub.make(when(), webhook(receiver))
    await hub.send(temperature=31)
    (run,) = await hub.log()
    assert run.outcome == "failed"
    assert run.error == "too much of this organisation waits to be sent already"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/",
     "http://169.254.169.254/latest", "http://10.0.0.1/", "http://0.0.0.0:{port}/",
     "http://[::ffff:127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/",
     "http://[2002:7f00:1::]:{port}/", "http://[fe80::1]/", "http://224.0.0.1/"],
)  # fmt: skip
async def test_addresses_that_are_not_public_are_not_spoken_to(
    receiver: Receiver, url: str
) -> None:
    with pytest.raises(WebhookError, match="no public address") as refused:
        await Webhooks().post({"url": url.format(port=receiver.port), "body": {}}, "k")
    assert refused.value.is_final
    assert receiver.came.empty()


async def test_who_speaks_no_http_or_says_nothing_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr("fleetwire.features.rules.webhook.TIMEOUT_S", 0.05)
    for speaks, reason in ((babble, "speaks no HTTP"), (silent, "no answer within")):
        async with await asyncio.start_server(speaks, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(WebhookError, match=reason):
                await Webhooks(allows_private=True).post(
                    {"url": f"http://127.0.0.1:{port}/", "body": {}}, "k"
                )
