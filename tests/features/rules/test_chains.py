"""What a chain does on its way: nodes, transforms, nesting, placeholders, durations."""

from typing import Any

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.checking import checked
from fleetwire.kit import RuleDraft, RuleNode, devices_named
from tests.features.rules.house import APP, DATA, RuleHub, alarm, command, leaf, when

SECOND = 1_000_000


def transform(id: str = "t", then: str | None = "a", **config: Any) -> RuleNode:
    return RuleNode(id, "transform", config, next=then)


async def test_every_leaf_of_a_nested_filter_wakes_its_chain(hub: RuleHub) -> None:
    nested: dict[str, Any] = leaf(key="k0")
    for depth in range(1, 100):
        kind = "OR" if depth % 2 else "AND"
        nested = {"type": kind, "expressions": [nested, leaf(key=f"k{depth}")]}
    await hub.make(when(nested), alarm())
    engine = hub.house.rules.engine
    woken = [engine.woken_by(1, APP, "s-1", f"k{depth}") for depth in range(100)]
    assert woken == [["c"]] * 100
    await hub.send(k99=31)
    assert await hub.outcomes() == ["completed"]


async def test_a_filter_nested_deeper_than_can_be_written_down_is_refused(hub: RuleHub) -> None:
    nested: dict[str, Any] = leaf()
    for _ in range(101):
        nested = {"type": "AND", "expressions": [nested, leaf()]}
    with pytest.raises(InvalidValueError, match="nested"):
        await hub.make(when(nested), alarm())


async def test_a_transform_feeds_the_nodes_after_it_and_nobody_else(hub: RuleHub) -> None:
    await hub.make(
        transform(then="f", key="temperature", operation="multiply", operand=1.8),
        RuleNode("f", "filter", leaf(">", 50), next="t2"),
        transform("t2", "a", key="temperature", operation="add", operand=32),
        alarm(message="{{temperature}} F"),
    )
    await hub.make(when(leaf("<", 31)), alarm(name="other"), id="other")
    await hub.send(temperature=30)
    (run,) = await hub.log()
    assert run.outcome == "completed"
    assert run.nodes[0].result == {"s-1.temperature": 54}
    assert {alarm["message"] for alarm in hub.alarms()} == {"86 F", "other"}


@pytest.mark.parametrize(
    ("operation", "operand", "result"),
    [("multiply", 2, 60), ("add", 0.5, 30.5), ("subtract", "40", -10), ("divide", 4, 7.5)],
)
async def test_what_transforms_calculate(
    hub: RuleHub, operation: str, operand: Any, result: float
) -> None:
    await hub.make(
        when(leaf("==", 30), then="t"),
        transform(key="temperature", operation=operation, operand=operand),
        alarm(),
    )
    await hub.send(temperature=30)
    (run,) = await hub.log()
    assert run.nodes[1].result == {"s-1.temperature": result}


async def test_a_transform_of_what_is_no_number_fails_the_run(hub: RuleHub) -> None:
    await hub.make(
        when(leaf("isNotNull", None), then="t"),
        transform(key="temperature", operation="add", operand=1),
        alarm(),
    )
    await hub.send(temperature="warm")
    (run,) = await hub.log()
    assert (run.outcome, run.error) == ("failed", "temperature is not a number")
    assert hub.alarms() == []


async def test_a_node_that_was_seen_before_ends_the_chain(hub: RuleHub) -> None:
    await hub.make(when(then="g"), when(leaf(">", 0), id="g", then="f"))
    await hub.send(temperature=31)
    (run,) = await hub.log()
    assert (run.outcome, run.aborted_reason) == ("aborted", "circular")
    assert [node.node for node in run.nodes] == ["f", "g"]


async def test_what_was_done_before_a_circle_was_found_is_done(hub: RuleHub) -> None:
    await hub.make(when(then="a"), alarm(then="f"))
    await hub.send(temperature=31)
    assert await hub.outcomes() == ["aborted"]
    assert len(hub.alarms()) == 1


async def test_a_chain_ends_after_a_thousand_steps(hub: RuleHub) -> None:
    nodes = [when(id="n0", then="n1")]
    nodes += [
        transform(f"n{n}", f"n{n + 1}", key="temperature", operation="add", operand=0)
        for n in range(1, 1001)
    ]
    await hub.make(*nodes, alarm("n1001"))
    await hub.send(temperature=31)
    (run,) = await hub.log()
    assert (run.outcome, run.aborted_reason) == ("aborted", "too_many_steps")
    assert hub.alarms() == []


async def test_a_comparison_with_a_duration_holds_once_it_was_true_for_that_long(
    hub: RuleHub,
) -> None:
    await hub.make(when(leaf(duration="5m")), alarm())
    for minutes, degrees in ((0, 31), (4, 32), (5, 33), (6, 29), (7, 31), (11, 31), (12, 31)):
        await hub.send(temperature=degrees, at=(1000 + minutes * 60) * SECOND)
    acted = [run.nodes[0].inputs["s-1.temperature"] for run in await hub.log(outcome="completed")]
    assert acted == [33, 31]


async def test_a_duration_counts_what_was_stored_before_the_chain_was_made(hub: RuleHub) -> None:
    await hub.send(temperature=29, at=900 * SECOND)
    await hub.send(temperature=31, at=1000 * SECOND)
    await hub.send(temperature=31, at=1200 * SECOND)
    await hub.make(when(leaf(duration="5m")), alarm())
    await hub.send(temperature=31, at=1299 * SECOND)
    await hub.send(temperature=31, at=1300 * SECOND)
    assert await hub.outcomes() == ["stopped", "completed"]


async def test_a_late_value_is_looked_at_but_does_not_become_the_newest(hub: RuleHub) -> None:
    both = {"type": "AND", "expressions": [leaf(), leaf("==", 1, key="go")]}
    await hub.make(when(both), alarm())
    await hub.send(temperature=20, at=2000 * SECOND)
    await hub.send(temperature=40, at=1000 * SECOND)  # it had no connection then
    await hub.send(go=1)
    assert len(hub.alarms()) == 0
    await hub.send(temperature=41, at=1001 * SECOND)
    assert len(hub.alarms()) == 1


async def test_placeholders_keep_their_type_and_name_only_what_the_chain_knows(
    hub: RuleHub,
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        await hub.make(when(), alarm(message="{{humidity}}"))
    assert refused.value.field == "nodes.1.config.alarm"
    both = {"type": "OR", "expressions": [leaf(), leaf(key="humidity")]}
    await hub.make(when(both), alarm(message="{{temperature}} and {{ humidity }}"))
    await hub.send(temperature=31)
    await hub.send(humidity=0.5)
    assert [run.error for run in await hub.log()] == ["humidity has no value yet", None]
    assert [alarm["message"] for alarm in hub.alarms()] == ["31 and 0.5"]


async def test_the_start_is_the_node_that_no_other_leads_to_or_the_one_named(
    hub: RuleHub,
) -> None:
    nodes = (alarm(name="end"), when(then="a"))
    await hub.make(*nodes)
    await hub.send(temperature=29)
    assert await hub.outcomes() == ["stopped"]
    await hub.make(*nodes, id="named", start="a")
    run = await hub.rules.run(hub.caller, APP, "named")
    assert (run.outcome, [node.node for node in run.nodes]) == ("completed", ["a"])


@pytest.mark.parametrize(
    ("nodes", "field"),
    [
        ((when(then="nowhere"),), "nodes.0.next"),
        ((when(then=None), when(then=None)), "nodes.1.id"),
        ((when({"type": "AND", "expressions": []}, then=None),), "nodes.0.config.expressions"),
        (
            (when({"type": "OR", "expressions": [leaf(), leaf("~")]}, then=None),),
            "nodes.0.config.expressions.1.operator",
        ),
        ((when({"type": "XOR", "expressions": [leaf()]}, then=None),), "nodes.0.config.type"),
        ((when(leaf() | {"sourceType": "moon"}, then=None),), "nodes.0.config.sourceType"),
        ((when(leaf(device=""), then=None),), "nodes.0.config.UUID"),
        ((when(leaf() | {"color": 1}, then=None),), "nodes.0.config"),
        ((when(leaf(duration="long"), then=None),), "nodes.0.config.duration"),
        ((transform(then=None, key="x", operation="add", operand=1),), "nodes.0.config.key"),
        (
            (transform(then=None, key="x", UUID="s-1", operation="power", operand=1),),
            "nodes.0.config.operation",
        ),
        (
            (transform(then=None, key="x", UUID="s-1", operation="divide", operand=0),),
            "nodes.0.config.operand",
        ),
        ((RuleNode("a", "action", {"type": "DANCE"}),), "nodes.0.config.type"),
        ((RuleNode("a", "action", {"type": "PUBLISH"}),), "nodes.0.config.publish"),
        (
            (RuleNode("a", "action", {"type": "PUBLISH", "publish": {"topic": "a/#"}}),),
            "nodes.0.config.publish.topic",
        ),
        (
            (RuleNode("a", "action", {"type": "WEBHOOK", "webhook": {"url": "file:///x"}}),),
            "nodes.0.config.webhook.url",
        ),
        (
            (
                RuleNode(
                    "a",
                    "action",
                    {
                        "type": "WEBHOOK",
                        "webhook": {"url": "http://x.example", "headers": {"Host": "y"}},
                    },
                ),
            ),
            "nodes.0.config.webhook.headers",
        ),
        ((alarm(severity="loud"),), "nodes.0.config.alarm.severity"),
    ],
)
def test_what_a_chain_cannot_say_is_refused_by_name(
    nodes: tuple[RuleNode, ...], field: str
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        checked(1, APP, RuleDraft("x", nodes), Registry())
    assert refused.value.field == field


def test_every_device_that_a_chain_names_is_told_to_who_asks() -> None:
    both = {
        "type": "AND",
        "expressions": [leaf(), {"type": "OR", "expressions": [leaf(device="s-2")]}],
    }
    nodes = (
        when(both, then="t"),
        transform(key="x", UUID="s-3", app="other", operation="add", operand=1),
        command(then=None),
    )
    assert devices_named(RuleDraft("x", nodes)) == {
        ("", "s-1"), ("", "s-2"), ("other", "s-3"), ("", "fan-1"),
    }  # fmt: skip


async def test_a_reading_wakes_only_the_chains_that_name_it(hub: RuleHub) -> None:
    for number in range(30):
        config = leaf(key=f"k{number % 10}", device="s-1" if number < 20 else "s-2")
        await hub.make(when(config), alarm(), id=f"c{number}")
    await hub.settle_rules()
    engine = hub.house.rules.engine
    before = engine.runs
    await hub.send(k3=31)
    assert engine.runs - before == 2
    ran = [number for number in range(30) if await hub.log(f"c{number}")]
    assert ran == [3, 13]


async def test_many_readings_in_one_message_batch_are_run_each_for_itself(hub: RuleHub) -> None:
    await hub.make(when(), alarm())
    for number in range(150):
        await hub.sensor.send(DATA, {"temperature": 31 + number})
    await hub.settle_rules()
    assert await hub.outcomes() == ["completed"] * 150
