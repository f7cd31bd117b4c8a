"""What apps can fill has a bound, and says what happens there."""

import asyncio

import pytest
from structlog.testing import capture_logs

from fleetwire.errors import TooManyError
from fleetwire.ingest import works
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.works import Works
from fleetwire.kit import App, Caller, Device, LiveEvent
from fleetwire.runtime.hearing import Hearing

MACHINE = Device(1, "coffee", "m1", 1, "machine", {})


def event(cursor: int) -> LiveEvent:
    return LiveEvent(cursor, "coffee", MACHINE, "coffee.brewed", "", {}, 0)


async def test_an_app_that_falls_behind_is_told_less_and_that_is_logged() -> None:
    app = App("coffee")
    heard: list[int] = []
    may_go_on, heard_one = asyncio.Event(), asyncio.Event()

    @app.on("coffee.brewed")
    async def note(event: LiveEvent) -> None:
        heard_one.set()
        await may_go_on.wait()
        heard.append(event.cursor)

    bus = EventBus()
    hearing = Hearing([app], {}, lambda: Caller.system(1), bus, lane_events=2)
    running = asyncio.create_task(hearing.run())
    await asyncio.sleep(0)
    with capture_logs() as logs:
        bus.publish([event(1)])
        async with asyncio.timeout(5):
            await heard_one.wait()  # it is busy with the first, and two more may wait
        bus.publish([event(cursor) for cursor in range(2, 7)])
        may_go_on.set()
        await hearing.settle()
        bus.publish([event(7)])
        await hearing.settle()
    running.cancel()
    assert heard == [1, 2, 3, 7]
    assert [(log["event"], log.get("left_out")) for log in logs] == [
        ("an app falls behind: events are not handed to it", None),
        ("an app has caught up", 3),
    ]


async def test_a_house_whose_apps_hear_nothing_listens_to_nothing() -> None:
    bus = EventBus()
    hearing = Hearing([App("coffee")], {}, lambda: Caller.system(1), bus)
    running = asyncio.create_task(hearing.run())
    await asyncio.sleep(0)
    assert not running.done()
    assert not bus.has_listeners
    running.cancel()


async def test_only_so_much_work_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    is_carried, may_end = asyncio.Event(), asyncio.Event()

    async def carry(work: object) -> None:
        is_carried.set()
        await may_end.wait()

    monkeypatch.setattr(works, "WAITING_MOST", 2)
    waiting = Works(carry)
    handed_in = [asyncio.create_task(waiting.apply(lambda tx: None))]
    async with asyncio.timeout(5):
        await is_carried.wait()
    handed_in += [asyncio.create_task(waiting.apply(lambda tx: None)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyError):
        await waiting.apply(lambda tx: None)
    may_end.set()
    assert await asyncio.gather(*handed_in) == [None, None, None]
    await waiting.close()
