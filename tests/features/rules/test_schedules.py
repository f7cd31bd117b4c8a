"""Chains that run by the clock, and by hand."""

from pathlib import Path

import msgspec
import pytest

from fleetwire.errors import ForbiddenError, NotFoundError
from fleetwire.kit import Caller, RuleSchedule, instants
from tests.features.rules.house import APP, RuleHub, alarm, command, leaf, open_hub, when

HOURLY = RuleSchedule("0 * * * *")
HOUR_S = 3600


async def test_a_schedule_runs_its_chain_each_time_it_is_due(hub: RuleHub) -> None:
    await hub.send(temperature=31)
    chain = await hub.make(when(), command(), schedule=HOURLY)
    assert chain.next_at is not None
    for _ in range(3):
        await hub.advance(HOUR_S)
        await hub.settle_rules()
    runs = await hub.log()
    assert [(run.kind, run.outcome) for run in runs] == [("schedule", "completed")] * 3
    assert runs[0].trigger == f"schedule:{chain.next_at}"


async def test_a_schedule_looks_at_the_newest_values(hub: RuleHub) -> None:
    await hub.make(when(leaf("olderThan", "30m")), alarm(name="silent"), schedule=HOURLY)
    await hub.advance(HOUR_S)
    await hub.settle_rules()
    assert await hub.outcomes() == ["stopped"]  # it has never said anything
    await hub.send(temperature=1)
    await hub.advance(HOUR_S)
    await hub.settle_rules()
    assert [alarm["name"] for alarm in hub.alarms()] == ["silent"]


async def test_what_was_missed_while_the_server_was_away_is_run_once(tmp_path: Path) -> None:
    async with open_hub(tmp_path) as hub:
        await hub.make(command(), schedule=HOURLY)
        at = hub.clock.at
    async with open_hub(tmp_path) as hub:
        hub.clock.at = at + 5 * HOUR_S * 1_000_000
        await hub.settle_rules()
        assert await hub.outcomes() == ["completed"]
        await hub.settle_rules()
        assert await hub.outcomes() == ["completed"]


async def test_a_schedule_that_was_kept_is_not_run_again_after_a_restart(tmp_path: Path) -> None:
    async with open_hub(tmp_path) as hub:
        await hub.make(command(), schedule=HOURLY)
        await hub.advance(HOUR_S)
        await hub.settle_rules()
        at = hub.clock.at
    async with open_hub(tmp_path) as hub:
        hub.clock.at = at
        await hub.settle_rules()
        assert await hub.outcomes() == ["completed"]


async def test_a_changed_schedule_makes_up_for_nothing(hub: RuleHub) -> None:
    await hub.make(command(), schedule=RuleSchedule("0 0 1 1 *"))
    await hub.advance(3 * HOUR_S)
    await hub.rules.update(
        hub.caller, APP, "c", lambda draft: msgspec.structs.replace(draft, schedule=HOURLY)
    )
    await hub.settle_rules()
    assert await hub.log() == []


async def test_a_chain_that_is_not_enabled_has_no_next_time(hub: RuleHub) -> None:
    chain = await hub.make(command(), schedule=HOURLY, enabled=False)
    assert chain.next_at is None
    await hub.advance(2 * HOUR_S)
    await hub.settle_rules()
    assert await hub.log() == []


async def test_a_chain_runs_by_hand_also_if_it_is_not_enabled(hub: RuleHub) -> None:
    await hub.send(temperature=31)
    await hub.make(when(), alarm(), enabled=False)
    run = await hub.rules.run(hub.caller, APP, "c")
    assert (run.kind, run.outcome) == ("manual", "completed")
    assert run.nodes[0].inputs == {"s-1.temperature": 31}
    assert len(hub.alarms()) == 1


async def test_the_same_trigger_by_hand_is_run_once(hub: RuleHub) -> None:
    await hub.make(alarm(deviceUuid="s-1"))
    first = await hub.rules.run(hub.caller, APP, "c", trigger="visit-1")
    second = await hub.rules.run(hub.caller, APP, "c", trigger="visit-1")
    assert first == second
    assert len(hub.alarms()) == 1
    await hub.rules.run(hub.caller, APP, "c", trigger="visit-2")
    assert len(hub.alarms()) == 2


async def test_who_may_not_command_makes_no_chain_that_does(hub: RuleHub) -> None:
    everything = hub.caller.permissions
    gardener = Caller("account:9", 1, everything - {"command.send"})
    with pytest.raises(ForbiddenError, match=r"command\.send"):
        await hub.rules.create(gardener, APP, (await hub.make(command())).draft)
    await hub.rules.create(gardener, APP, (await hub.make(alarm(), id="d")).draft)
    with pytest.raises(ForbiddenError):
        await hub.rules.run(gardener, APP, "d")


async def test_another_organisation_sees_and_runs_no_chain_of_ours(hub: RuleHub) -> None:
    await hub.make(alarm())
    theirs = Caller.system(2)
    assert (await hub.rules.list(theirs)).items == []
    with pytest.raises(NotFoundError):
        await hub.rules.run(theirs, APP, "c")
    with pytest.raises(NotFoundError):
        await hub.rules.delete(theirs, APP, "c")


async def test_a_dry_run_says_what_stored_readings_would_have_led_to(hub: RuleHub) -> None:
    for minute, degrees in enumerate((29, 31, 28, 35, 36)):
        await hub.send(temperature=degrees, at=minute * 60_000_000)
    draft = (await hub.make(when(leaf(duration="1m")), command())).draft
    found = await hub.rules.dry_run(hub.caller, APP, draft)
    assert (found.readings, found.outcomes) == (5, {"stopped": 4, "completed": 1})
    assert found.is_whole
    assert found.executions[0].nodes[-1].outcome == "planned"
    assert await hub.log() == []
    assert hub.fan.received == []
    some = await hub.rules.dry_run(
        hub.caller, APP, draft, from_at=60_000_000, to_at=instants.parse(180), limit=1
    )
    assert (some.readings, len(some.executions)) == (2, 1)


async def test_a_dry_run_leaves_no_variable_behind(hub: RuleHub) -> None:
    draft = (await hub.make(when(), command(), enabled=False)).draft
    await hub.send(temperature=31)
    await hub.rules.dry_run(hub.caller, APP, draft)
    assert len(hub.house.rules.engine.variables) == 0
