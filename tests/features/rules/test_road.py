"""From a reading to what its chains do."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from fleetwire.errors import StoreUnavailableError, TooManyError
from fleetwire.features.organizations.tables import organizations
from fleetwire.features.rules.program import Finding, Program
from fleetwire.features.rules.run import View
from fleetwire.kit import Caller
from tests.features.rules.house import (
    APP,
    DATA,
    RuleHub,
    alarm,
    command,
    leaf,
    open_hub,
    when,
)


async def test_a_reading_wakes_a_chain_that_names_it_and_the_action_is_done(hub: RuleHub) -> None:
    await hub.make(when(), alarm(name="hot", severity="critical", message="{{temperature}} C"))
    await hub.send(temperature=31.5)
    (run,) = await hub.log()
    assert (run.outcome, run.kind, run.error) == ("completed", "telemetry", None)
    assert [(node.node, node.outcome) for node in run.nodes] == [("f", "passed"), ("a", "done")]
    assert run.nodes[0].inputs == {"s-1.temperature": 31.5}
    (raised,) = hub.alarms()
    assert (raised["name"], raised["severity"], raised["message"]) == ("hot", "critical", "31.5 C")
    assert raised["device_id"] == "s-1"


async def test_a_false_filter_stops_the_chain_and_nothing_is_done(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    await hub.send(temperature=29)
    (run,) = await hub.log()
    assert run.outcome == "stopped"
    assert [(node.node, node.outcome, node.result) for node in run.nodes] == [
        ("f", "stopped", False)
    ]
    assert hub.alarms() == []


async def test_a_reading_that_no_chain_names_wakes_none(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    await hub.send(humidity=99)
    await hub.send(hub.other, temperature=99)
    assert await hub.log() == []


async def test_what_was_sent_before_the_chain_was_made_does_not_wake_it(hub: RuleHub) -> None:
    await hub.send(temperature=99)
    await hub.make(when(), alarm())
    await hub.send(humidity=1)
    assert await hub.log() == []


async def test_a_chain_knows_what_was_sent_before_it_was_made(hub: RuleHub) -> None:
    await hub.send(hub.other, humidity=80)
    both = {
        "type": "AND",
        "expressions": [leaf(), leaf("<", 90, key="humidity", device="s-2")],
    }
    await hub.make(when(both), alarm())
    await hub.send(temperature=31)
    assert await hub.outcomes() == ["completed"]


async def test_a_message_sent_twice_runs_the_chain_once(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    await hub.send(temperature=31, at=1_000_000)
    await hub.send(temperature=31, at=1_000_000)
    assert await hub.outcomes() == ["completed"]
    assert len(hub.alarms()) == 1


async def test_the_values_of_one_message_are_one_trigger(hub: RuleHub) -> None:
    both = {"type": "OR", "expressions": [leaf(), leaf(key="humidity")]}
    await hub.make(when(both), alarm())
    await hub.send(temperature=31, humidity=40)
    assert await hub.outcomes() == ["completed"]


async def test_a_command_goes_through_the_ledger_and_reaches_the_device(hub: RuleHub) -> None:
    await hub.make(when(), command(value="{{temperature}}"))
    await hub.send(temperature=31)
    message = await hub.fan.next_message()
    assert message.json()["command"] == "power"
    assert message.json()["value"] == 31
    (run,) = await hub.log()
    assert run.nodes[1].result["command_id"] == message.command_id


async def test_a_command_for_a_device_that_is_not_there_fails_the_run_with_its_reason(
    hub: RuleHub,
) -> None:
    await hub.make(when(), alarm(then="c"), command("c", deviceUuid="nobody"))
    await hub.send(temperature=31)
    (run,) = await hub.log()
    assert (run.outcome, run.error) == ("failed", "there is no device 'nobody'")
    assert hub.alarms() == []  # all of a run is done, or nothing


async def test_a_message_published_by_a_chain_reaches_who_subscribes(hub: RuleHub) -> None:
    publish = {"topic": "barn/notes", "payload": {"now": "{{temperature}}"}, "qos": 1}
    action = msgspec.structs.replace(alarm(), config={"type": "PUBLISH", "publish": publish})
    await hub.make(when(), action)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    hub.house.server.watch("barn/notes", 1, lambda topic, payload, qos: heard.put_nowait(payload))
    await hub.send(temperature=31)
    assert await asyncio.wait_for(heard.get(), 5) == b'{"now":31}'
    assert [node.outcome for node in (await hub.log())[0].nodes] == ["passed", "done"]


async def test_a_chain_that_is_not_enabled_is_not_woken(hub: RuleHub) -> None:
    await hub.make(when(), alarm(), enabled=False)
    await hub.send(temperature=31)
    assert await hub.log() == []
    await hub.rules.update(
        hub.caller, APP, "c", lambda draft: msgspec.structs.replace(draft, enabled=True)
    )
    await hub.send(temperature=32)
    assert await hub.outcomes() == ["completed"]


async def test_a_run_that_did_something_is_told_and_one_that_did_not_is_not(hub: RuleHub) -> None:
    await hub.make(when(), alarm(), name="Hot")
    await hub.make(when(), command(deviceUuid="nobody"), id="broken")
    await hub.send(temperature=29)
    await hub.send(temperature=31)
    told = [event for event in hub.events if event.name == "rule.run"]
    assert [(event.body["chain_id"], event.body["outcome"]) for event in told] == [
        ("c", "completed"),
        ("broken", "failed"),
    ]
    assert {event.device.device_id for event in told} == {"s-1"}
    assert told[0].body["chain_name"] == "Hot"


async def test_a_fault_in_one_chain_stops_no_other_and_the_log_says_so(
    hub: RuleHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await hub.make(when(), alarm(), id="broken")
    await hub.make(when(), alarm(), id="whole")
    run = Program.run

    def fail(program: Program, view: View) -> Finding:
        if program.chain.id == "broken":
            raise RuntimeError("a mistake of ours")
        return run(program, view)

    monkeypatch.setattr(Program, "run", fail)
    await hub.send(temperature=31)
    assert await hub.outcomes("broken") == ["failed"]
    assert await hub.outcomes("whole") == ["completed"]
    assert "a mistake of ours" in capsys.readouterr().out
    monkeypatch.setattr(hub.house.rules.engine, "_store_runs", _away)
    with pytest.raises(StoreUnavailableError):
        await hub.rules.run(hub.caller, APP, "whole")


async def _away(*arguments: object) -> None:
    raise StoreUnavailableError("away")


async def test_values_nested_without_end_are_compared_and_hold_nobody_up(hub: RuleHub) -> None:
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    await hub.make(when({"type": "OR", "expressions": [leaf("==", [[]]), leaf("isArray", None)]}),
                   alarm())  # fmt: skip
    await hub.make(when(leaf("contains", "x")), alarm(), id="other")
    await hub.send(temperature=deep)
    await hub.send(temperature=31)
    assert await hub.outcomes() == ["completed", "stopped"]


async def test_a_log_that_is_too_long_keeps_what_happened_without_what_was_seen(
    hub: RuleHub,
) -> None:
    for number in range(30):
        await hub.send(**{f"k{number}": "x" * 199})
    leaves = [leaf("isNotNull", None, key=f"k{number}") for number in range(30)]
    nodes = [
        when({"type": "AND", "expressions": [leaf(), *leaves]}, id=f"f{n}", then=f"f{n + 1}")
        for n in range(10)
    ]
    await hub.make(*nodes, alarm("f10"))
    await hub.send(temperature=31)
    (run,) = await hub.log()
    assert [node.outcome for node in run.nodes] == ["passed"] * 10 + ["done"]
    assert all(node.inputs == {} for node in run.nodes)


async def test_the_chains_of_an_organisation_have_a_bound_together(
    hub: RuleHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.features.rules.service.MAX_BYTES", 500)
    await hub.make(when(), alarm(message="x" * 400))
    with pytest.raises(TooManyError, match="500 bytes"):
        await hub.make(when(), alarm(), id="another")


async def test_a_changed_chain_is_what_runs_from_then_on(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    await hub.rules.update(
        hub.caller,
        APP,
        "c",
        lambda draft: msgspec.structs.replace(draft, nodes=(when(leaf("<", 0)), alarm())),
    )
    await hub.send(temperature=31)
    await hub.send(temperature=-1)
    assert await hub.outcomes() == ["stopped", "completed"]


async def test_a_removed_chain_is_not_woken(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    await hub.rules.delete(hub.caller, APP, "c")
    await hub.send(temperature=31)
    assert hub.alarms() == []
    assert len(hub.house.rules.engine.variables) == 0


async def test_runs_that_do_nothing_are_counted_and_not_all_stored(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    engine = hub.house.rules.engine
    await hub.send(temperature=1)
    for degrees in range(2, 7):
        await hub.sensor.send(DATA, {"temperature": degrees})
    await hub.settle_rules()
    runs = await hub.log()
    assert len(runs) + sum(run.repeats for run in runs) == 6
    assert engine.runs == 6
    assert len(runs) <= 6


async def test_readings_that_came_while_nobody_ran_chains_get_their_runs_after_a_restart(
    tmp_path: Path,
) -> None:
    async with open_hub(tmp_path) as hub:
        await hub.make(when(), alarm())
        await hub.send(temperature=31)
        _stop(hub)
        await hub.sensor.send(DATA, {"temperature": 32})
        await hub.sensor.send(DATA, {"temperature": 33})
    async with open_hub(tmp_path) as hub:
        await hub.settle_rules()
        assert await hub.outcomes() == ["completed"] * 3
        seen = [run.nodes[0].inputs["s-1.temperature"] for run in await hub.log()]
        assert seen == [31, 32, 33]


async def test_what_was_run_is_not_run_again_after_a_restart(tmp_path: Path) -> None:
    async with open_hub(tmp_path) as hub:
        await hub.make(when(), command())
        await hub.send(temperature=31)
        assert len(await hub.log()) == 1
    async with open_hub(tmp_path) as hub:
        await hub.settle_rules()
        assert len(await hub.log()) == 1


async def test_while_the_database_is_away_runs_wait_and_none_is_lost(
    hub: RuleHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hub.make(when(), alarm())
    engine = hub.house.rules.engine
    real = engine._apply
    failures = iter([True, True, False])

    async def apply(*arguments: object) -> None:
        if next(failures, False):
            raise StoreUnavailableError("away")
        await real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_apply", apply)
    monkeypatch.setattr("fleetwire.features.rules.engine.LOOK_S", 0.01)
    await hub.send(temperature=31)
    assert await hub.outcomes() == ["completed"]


async def test_who_names_anothers_device_hears_nothing_of_it_and_takes_nothing_away(
    hub: RuleHub,
) -> None:
    theirs = {"id": 2, "name": "Theirs", "created_at": 1}
    await hub.house.database.write(lambda tx: tx.execute(insert(organizations), [theirs]))
    await hub.make(when(), alarm())
    stranger = Caller.system(2)
    draft = (await hub.rules.get(hub.caller, APP, "c")).draft
    await hub.rules.create(stranger, APP, draft, chain_id="spy")
    await hub.send(temperature=31)
    assert (await hub.rules.executions(stranger, APP, "spy")).items == []
    by_hand = await hub.rules.run(stranger, APP, "spy")
    assert (by_hand.outcome, by_hand.nodes[0].inputs) == ("stopped", {"s-1.temperature": None})
    await hub.rules.delete(stranger, APP, "spy")
    await hub.send(temperature=32)
    assert await hub.outcomes() == ["completed", "completed"]


async def test_two_organisations_devices_of_one_name_do_not_wake_each_others_chains(
    hub: RuleHub,
) -> None:
    await hub.make(when(leaf(device="later")), alarm())
    engine = hub.house.rules.engine
    assert engine.woken_by(1, APP, "later", "temperature") == []
    later = await hub.device("later")
    assert engine.woken_by(1, APP, "later", "temperature") == ["c"]
    assert engine.woken_by(2, APP, "later", "temperature") == []
    await hub.send(later, temperature=31)
    assert await hub.outcomes() == ["completed"]


def _stop(hub: RuleHub) -> None:
    """End the engine's task, as a kill would."""
    for task in hub.house._tasks:
        if task.get_name() == "Engine.run":
            task.cancel()
