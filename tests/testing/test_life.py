"""An app's own life: its start, its demonstration, its timers, what it hears."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Caller, Clock, Commands, Devices, LiveEvent, Mode
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee


async def test_a_start_is_given_services_before_anybody_is_served() -> None:
    app = coffee()
    given: list[object] = []

    @app.on_start
    async def start(devices: Devices, caller: Caller, mode: Mode, itself: App) -> None:
        given.extend((devices, caller, mode, itself))

    async with TestHub(app) as hub:
        assert given[0] is hub.service(Devices)
        assert given[1] == hub.caller
        assert given[2] == Mode(True, False, hub.caller.organization_id)
        assert given[3] is app


async def test_a_start_that_fails_stops_the_house() -> None:
    app = coffee()

    @app.on_start
    async def start() -> None:
        raise RuntimeError("no beans")

    with pytest.raises(RuntimeError, match="no beans"):
        async with TestHub(app):
            pass


async def test_a_function_that_asks_for_no_service_is_named_at_the_start() -> None:
    app = coffee()

    @app.every(1)
    async def clean(cups: int) -> None: ...

    with pytest.raises(SettingsError, match=r"coffee: .*clean: the parameter 'cups' .*int"):
        async with TestHub(app):
            pass


async def test_a_timer_must_be_async() -> None:
    app = coffee()

    @app.every(1)
    def clean() -> None: ...

    with pytest.raises(SettingsError, match="must be an async function"):
        async with TestHub(app):
            pass


async def test_a_demonstration_is_added_once_to_a_data_folder(tmp_path: Path) -> None:
    shown = 0

    def app() -> App:
        made = coffee()

        @made.demo
        async def add(caller: Caller, devices: Devices) -> None:
            nonlocal shown
            shown += 1
            await devices.register(caller, "coffee", "demo-1", "machine")

        return made

    async with TestHub(app(), folder=tmp_path):
        assert shown == 0
    for _ in range(2):
        async with TestHub(app(), folder=tmp_path, demo=True) as hub:
            assert hub.service(Devices).find("coffee", "demo-1") is not None
    assert shown == 1


async def test_a_demonstration_that_was_cut_off_is_added_the_next_time(tmp_path: Path) -> None:
    app = coffee()
    calls = 0

    @app.demo
    async def add() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        async with TestHub(app, folder=tmp_path, demo=True):
            pass
    async with TestHub(app, folder=tmp_path, demo=True):
        assert calls == 2


async def test_timers_run_when_their_time_has_come_and_not_before() -> None:
    app = coffee()
    calls: list[str] = []

    @app.every(10)
    async def often() -> None:
        calls.append("often")

    @app.every(25)
    async def seldom() -> None:
        calls.append("seldom")

    async with TestHub(app) as hub:
        await hub.advance(9)
        assert calls == []
        await hub.advance(22)  # 31
        assert calls == ["often", "often", "seldom", "often"]


async def test_the_clock_that_an_app_asks_for_is_the_one_that_is_moved() -> None:
    app = coffee()
    told: list[int] = []

    @app.every(10)
    async def tell(clock: Clock) -> None:
        told.append(clock.now())

    async with TestHub(app) as hub:
        began = hub.service(Clock).now()
        await hub.advance(25)
        assert [at - began for at in told] == [10_000_000, 20_000_000]


async def test_a_device_that_is_silent_too_long_is_told_when_the_clock_is_moved() -> None:
    environment = {"FLEETWIRE_PRESENCE_EXPECTED": "coffee=60s"}
    async with TestHub(coffee(), environment=environment) as hub:
        machine = await hub.device("m1")
        await machine.send("coffee/{device_id}/brewed", {"cups": 1})
        await hub.advance(59)
        assert "device.silent" not in [event.name for event in hub.events]
        await hub.advance(2)
        await hub.event("device.silent")


async def test_a_timer_that_fails_goes_on_and_is_logged_once_until_it_succeeds() -> None:
    app = coffee()
    calls = 0

    @app.every(1)
    async def clean() -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 2, 4):
            raise RuntimeError("no water")

    async with TestHub(app) as hub:
        with capture_logs() as logs:
            await hub.advance(5)
    assert calls == 5
    said = [(log["event"], log["log_level"]) for log in logs if log.get("timer")]
    assert said == [
        ("a timer fails", "error"),
        ("a timer succeeds again", "info"),
        ("a timer fails", "error"),
        ("a timer succeeds again", "info"),
    ]


async def test_a_real_timer_runs_after_its_pause_and_never_twice_at_a_time() -> None:
    app = coffee()
    under_way = most = calls = 0
    enough = asyncio.Event()

    @app.every(0.01)
    async def clean() -> None:
        nonlocal under_way, most, calls
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)  # longer than its pause
        under_way -= 1
        calls += 1
        if calls == 3:
            enough.set()

    async with TestHub(app) as hub:
        running = asyncio.create_task(hub.house.guests.timers.run())
        async with asyncio.timeout(5):
            await enough.wait()
        running.cancel()
    assert most == 1


async def test_an_app_hears_of_its_devices_with_the_reason() -> None:
    app = coffee()
    heard: list[tuple[str, str, str]] = []

    @app.on("device.connected")
    @app.on("device.disconnected")
    async def note(event: LiveEvent, devices: Devices) -> None:
        assert devices.find("coffee", event.device.device_id) is event.device
        heard.append((event.name, event.device.device_id, event.body["reason"]))

    async with TestHub(app) as hub:
        machine = await hub.device("m1")
        machine.disconnect("keep_alive")
        await hub.settle()
    assert heard == [
        ("device.connected", "m1", "connect"),
        ("device.disconnected", "m1", "keep_alive"),
    ]


async def test_an_app_hears_what_became_of_commands_by_a_pattern() -> None:
    app = coffee()
    heard: list[str] = []

    @app.on("command.*")
    def note(event: LiveEvent) -> None:
        heard.append(event.name)

    async with TestHub(app) as hub:
        machine = await hub.device("m1")
        record = await hub.service(Devices).get(hub.caller, "coffee", "m1")
        await hub.service(Commands).send(hub.caller, record, "brew", {})
        await machine.next_message()
        await hub.event("command.delivered")
        await hub.settle()
    assert heard == ["command.queued", "command.sent", "command.delivered"]


async def test_an_app_does_not_hear_of_the_devices_of_others() -> None:
    app, other = coffee(), App("other", publishes=["other/{device_id}/x"])
    heard: list[str] = []

    @other.on("*")
    def note(event: LiveEvent) -> None:
        heard.append(event.name)

    async with TestHub(app, other) as hub:
        await hub.device("m1")
        await hub.event("device.connected")
        await hub.settle()
    assert heard == []


async def test_a_function_that_fails_is_logged_and_the_next_event_comes() -> None:
    app = coffee()
    heard: list[int] = []

    @app.on("coffee.brewed")
    async def note(event: LiveEvent) -> None:
        heard.append(event.body["cups"])
        if event.body["cups"] == 1:
            raise RuntimeError("spilt")

    async with TestHub(app) as hub:
        machine = await hub.device("m1")
        with capture_logs() as logs:
            for cups in (1, 2):
                await machine.send("coffee/{device_id}/brewed", {"cups": cups})
            await hub.event("coffee.brewed", 2)
            await hub.settle()
    assert heard == [1, 2]
    said = [log["event"] for log in logs if "function" in log]
    assert said == ["an app's function fails", "an app's function succeeds again"]


async def test_a_slow_function_does_not_hold_up_other_devices() -> None:
    app = coffee()
    heard: list[str] = []
    may_go_on, heard_of_other = asyncio.Event(), asyncio.Event()

    @app.on("coffee.brewed")
    async def slow(event: LiveEvent) -> None:
        if event.device.device_id == "m1":
            await may_go_on.wait()
        else:
            heard_of_other.set()
        heard.append(event.device.device_id)

    async with TestHub(app) as hub:
        for name in ("m1", "m2"):
            await (await hub.device(name)).send("coffee/{device_id}/brewed", {"cups": 1})
        await hub.event("coffee.brewed", 2)
        async with asyncio.timeout(5):
            await heard_of_other.wait()
        assert heard == ["m2"]
        may_go_on.set()
        await hub.settle()
    assert heard == ["m2", "m1"]


async def test_readings_are_not_told_for_an_app_that_hears_of_other_things() -> None:
    app = coffee(readings_event="coffee.measured")

    @app.on("device.connected")
    def note(event: LiveEvent) -> None: ...

    async with TestHub(app) as hub:
        hub.stop_listening()
        assert not hub.house.bus.has_listeners


async def test_an_app_hears_of_readings_if_it_asks_for_them() -> None:
    app = coffee(readings_event="coffee.measured")
    heard: list[dict[str, object]] = []

    @app.on("coffee.measured")
    def note(event: LiveEvent) -> None:
        heard.append(event.body)

    async with TestHub(app) as hub:
        hub.stop_listening()
        machine = await hub.device("m1")
        await machine.send("coffee/{device_id}/brewed", {"cups": 3})
        await hub.settle()
    assert heard == [{"cups": 3}]
