"""Commands to devices at another broker, behind one way that opens and closes."""

import asyncio

import pytest

from fleetwire.net.external.plan import NOBODY
from tests.features.commands.conftest import Ledger


def turn(ledger: Ledger, *, is_open: bool) -> None:
    if is_open:
        ledger.rooms.downlink.listening.add(ledger.device.id)
    else:
        ledger.rooms.downlink.listening.discard(ledger.device.id)
    ledger.commands.way_turned(is_open)


async def until_published(ledger: Ledger, count: int) -> None:
    async with asyncio.timeout(5):
        while len(ledger.payloads) < count:  # noqa: ASYNC110  # the fake has no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("key", [None, "k"])  # with a key it must not be repeated
async def test_what_was_queued_goes_when_the_way_opens(ledger: Ledger, key: str | None) -> None:
    command = await ledger.send("go", key=key)
    assert (await ledger.get(command.id)).state == "queued"
    turn(ledger, is_open=True)
    await until_published(ledger, 1)
    assert ledger.payloads == [b"go"]


async def test_what_must_not_be_repeated_is_not_noted_as_sent_while_the_way_is_closed(
    ledger: Ledger,
) -> None:
    turn(ledger, is_open=True)
    turn(ledger, is_open=False)
    command = await ledger.send("go", key="k")
    await ledger.commands._dispatcher.publish()
    assert ledger.payloads == []
    assert (await ledger.get(command.id)).state == "queued"


async def test_what_nobody_can_have_got_may_be_sent_again(ledger: Ledger) -> None:
    turn(ledger, is_open=True)
    await ledger.send("go", key="k")
    await until_published(ledger, 1)
    ledger.rooms.downlink.sent[0].lost(NOBODY)
    turn(ledger, is_open=True)  # rather than after the pause
    await until_published(ledger, 2)
    assert ledger.payloads == [b"go", b"go"]
