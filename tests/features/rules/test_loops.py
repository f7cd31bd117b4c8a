"""Chains that wake each other, and how that ends."""

from collections.abc import Iterable

import pytest

from fleetwire.kit import Effect, Reading, RuleCommand, RuleNode, Transaction
from tests.features.rules.house import APP, RuleHub, alarm, command, leaf, when


def change(tx: Transaction, asked: RuleCommand) -> Iterable[Effect]:
    """Store the state that was asked for, as an app does for which a state is a reading."""
    return [Reading(asked.device, asked.command["stateName"], asked.command["value"])]


def one_more(key: str) -> RuleNode:
    return RuleNode("t", "transform", {"key": key, "operation": "add", "operand": 1}, next="a")


async def test_chains_that_change_what_wakes_the_other_are_cut_and_the_log_says_so(
    hub: RuleHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.rules.commands_by(APP, change)
    await hub.make(
        when(then="t"), one_more("temperature"), command(value="{{temperature}}"), id="one"
    )
    await hub.make(
        when(leaf(key="power", device="fan-1"), then="t"),
        one_more("power"),
        command(deviceUuid="s-1", stateName="temperature", value="{{power}}"),
        id="two",
    )
    await hub.send(temperature=33)
    await _until_cut(hub)
    runs = await hub.log("one") + await hub.log("two")
    assert [run.outcome for run in runs].count("completed") == 10
    (cut,) = [run for run in runs if run.outcome == "aborted"]
    assert cut.aborted_reason == "loop"
    assert "rule chains wake each other in a circle" in capsys.readouterr().out


async def test_what_a_chain_publishes_is_for_clients_and_no_reading(hub: RuleHub) -> None:
    publish = {"topic": "devices/s-1/data", "payload": {"temperature": 40}}
    await hub.make(when(), RuleNode("a", "action", {"type": "PUBLISH", "publish": publish}))
    await hub.send(temperature=31)
    await _until_cut(hub)
    assert await hub.outcomes() == ["completed"]


async def test_a_chain_that_changes_what_wakes_it_is_cut(hub: RuleHub) -> None:
    hub.rules.commands_by(APP, change)
    await hub.make(
        when(leaf(key="power", device="fan-1"), then="t"),
        one_more("power"),
        command(value="{{power}}"),
    )
    await hub.send(hub.fan, power=31)
    await _until_cut(hub)
    assert await hub.outcomes() == ["completed"] * 10 + ["aborted"]


async def test_readings_of_devices_begin_anew_however_fast_they_come(hub: RuleHub) -> None:
    await hub.make(when(), command())
    for number in range(30):
        await hub.send(temperature=31 + number)
    assert await hub.outcomes() == ["completed"] * 30


async def test_what_an_app_makes_of_a_command_is_stored_with_the_run(hub: RuleHub) -> None:
    keys = []

    def noted(tx: Transaction, asked: RuleCommand) -> Iterable[Effect]:
        keys.append(asked.key)
        assert asked.chain.id == "c"
        return change(tx, asked)

    hub.rules.commands_by(APP, noted)
    await hub.make(when(), command())
    await hub.make(when(leaf("==", "on", key="power", device="fan-1")), alarm(name="fan"), id="fan")
    await hub.send(temperature=31)
    await hub.settle_rules()
    assert [each["name"] for each in hub.alarms()] == ["fan"]
    assert len(set(keys)) == 1


async def test_an_app_that_fails_to_make_a_command_fails_that_run_only(
    hub: RuleHub, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(tx: Transaction, asked: RuleCommand) -> Iterable[Effect]:
        if asked.command["value"] == 32:
            raise RuntimeError("a mistake")
        return change(tx, asked)

    hub.rules.commands_by(APP, failing)
    await hub.make(when(), command(value="{{temperature}}"))
    await hub.make(when(), alarm(), id="other")
    for degrees in (31, 32, 33):
        await hub.sensor.send("devices/{device_id}/data", {"temperature": degrees})
    await hub.settle_rules()
    assert await hub.outcomes() == ["completed", "failed", "completed"]
    assert await hub.outcomes("other") == ["completed"] * 3
    assert "a mistake" in capsys.readouterr().out


async def _until_cut(hub: RuleHub) -> None:
    for _ in range(40):  # each turn carries a message once around
        await hub.settle_rules()
