"""Rule chains by the farm's routes: they wake on values, and set devices."""

from typing import Any

from fleetwire.kit import Rules
from fleetwire.testing import HubDevice, TestHub
from tests.apps.farm.barn import Barn

WARM = {"sourceType": "sensor", "UUID": "s-1", "key": "temperature", "operator": ">", "value": 30}
COOL = {
    "type": "DEVICE_COMMAND",
    "command": {"deviceUuid": "fan-1", "stateName": "power", "value": "on", "initiatedBy": "rule"},
}


async def fan(barn: Barn) -> HubDevice:
    await barn.sensor("temperature")
    await barn.state(await barn.device("fan-1"), "power", "on", "off")
    return await barn.connected("fan-1")


async def chain(barn: Barn, *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"name": "Too warm", "nodes": list(nodes), **more}
    found: dict[str, Any] = (await barn.good("POST", "/rule-chains", body))["ruleChain"]
    return found


async def test_a_value_that_passes_the_filter_sets_the_device_once(
    hub: TestHub, barn: Barn
) -> None:
    """«Action `{type:"DEVICE_COMMAND",command:{deviceUuid,stateName,value,initiatedBy}}`»"""
    device = await fan(barn)
    made = await chain(barn, {"type": "filter", "config": WARM}, {"type": "action", "config": COOL})
    assert made["nodes"][0]["nextNodeId"] == made["nodes"][1]["id"]
    sensor = await barn.connected("s-1")
    await sensor.send("devices/s-1/datastream", {"value": 20})
    await sensor.send("devices/s-1/datastream", {"value": 31})
    message = (await device.next_message()).json()
    assert (message["newValue"], message["initiatedBy"]) == ("on", "rule")
    assert message["metadata"]["initiatorId"] == f"rule-chain:{made['id']}"
    await hub.settle()
    runs = (await barn.good("GET", f"/rule-chains/{made['id']}/executions"))["executions"]
    [run] = [run for run in runs if run["outcome"] == "completed"]
    assert run["nodes"][0]["nodeId"] == made["nodes"][0]["id"]
    state_id = (await barn.good("GET", "/device-states"))["deviceStates"][0]["id"]
    history = await barn.good("GET", f"/device-state-instances/history/{state_id}")
    assert [each["value"] for each in history["deviceStateInstances"]] == ["on"]


async def test_a_chain_is_run_by_hand_and_told_to_its_organization(
    hub: TestHub, barn: Barn
) -> None:
    """«`organizations/{orgId}/rule-chains` down `{"type":"rule_chain_execution",…}`»"""
    device = await fan(barn)
    made = await chain(barn, {"type": "action", "config": COOL})
    for way in ("execute", "trigger"):
        run = (await barn.good("POST", f"/rule-chains/{made['id']}/{way}"))["execution"]
        assert (run["trigger"], run["outcome"]) == ("manual", "completed")
    await hub.advance(2)
    # A state goes to the topics of both prefixes, as this device listens to both.
    messages = [await device.next_message() for _ in range(6)]
    told = [each for each in messages if each.topic.startswith("organizations/")]
    topic = f"organizations/{made['organizationId']}/rule-chains"
    assert [each.topic for each in told] == [topic, topic]
    assert [each.json()["type"] for each in told] == ["rule_chain_execution"] * 2
    assert {each.json()["ruleChainId"] for each in told} == {made["id"]}
    await hub.advance(2)
    assert len(device.received) == 6


async def test_nodes_are_added_linked_changed_and_taken_out(barn: Barn) -> None:
    """«`/rule-chains`: CRUD, `/:id/nodes`, `/nodes`, `/nodes/:id`»"""
    await fan(barn)
    made = await chain(barn)
    path = f"/rule-chains/{made['id']}"
    body = {"ruleChainId": made["id"], "type": "action", "config": COOL}
    last = (await barn.good("POST", "/rule-chains/nodes", body))["node"]
    body = {"type": "filter", "config": WARM, "nextNodeId": last["id"]}
    first = (await barn.good("POST", f"{path}/nodes", body))["node"]
    assert first["nextNodeId"] == last["id"]
    middle = {"type": "filter", "config": {**WARM, "operator": "<", "value": 90}}
    node = (await barn.good("POST", f"{path}/nodes", {**middle, "nextNodeId": last["id"]}))["node"]
    node_path = f"/rule-chains/nodes/{first['id']}"
    await barn.good("PATCH", node_path, {"nextNodeId": node["id"], "name": "first"})
    found = (await barn.good("GET", node_path))["node"]
    assert (found["nextNodeId"], found["name"], found["config"]) == (node["id"], "first", WARM)
    answer = await barn.ask("DELETE", f"/rule-chains/nodes/{node['id']}")
    assert answer.status_code == 204
    nodes = (await barn.good("GET", f"{path}/nodes"))["nodes"]
    assert {each["id"]: each["nextNodeId"] for each in nodes} == {
        last["id"]: None,
        first["id"]: last["id"],
    }
    wrong = await barn.ask("PATCH", node_path, {"nextNodeId": 17})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "nextNodeId")
    assert (await barn.ask("GET", f"/rule-chains/nodes/{node['id']}")).status_code == 404


async def test_a_chain_is_listed_changed_and_removed(hub: TestHub, barn: Barn) -> None:
    made = await chain(barn, schedule={"cron": "0 6 * * *", "timezone": "Europe/Berlin"})
    assert made["schedule"] == {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}
    path = f"/rule-chains/{made['id']}"
    answer = await barn.ask("GET", path)
    tag = {"If-Match": answer.headers["etag"]}
    changed = await barn.good("PATCH", path, {"enabled": False, "schedule": None}, headers=tag)
    assert (changed["ruleChain"]["enabled"], changed["ruleChain"]["schedule"]) == (False, None)
    farm = f"/organizations/{made['organizationId']}"
    assert (await barn.ask("DELETE", farm)).status_code == 409
    stale = await barn.ask("PATCH", path, {"enabled": True}, headers=tag)
    assert stale.status_code == 412
    assert len((await barn.good("GET", "/rule-chains"))["ruleChains"]) == 1
    other = await chain(barn)
    await hub.service(Rules).delete(hub.caller, "farm", str(other["id"]))
    assert len((await barn.good("GET", "/rule-chains"))["ruleChains"]) == 1
    assert (await barn.ask("DELETE", path)).status_code == 204
    assert (await barn.ask("GET", path)).status_code == 404
    assert (await barn.good("GET", "/rule-chains"))["ruleChains"] == []


async def test_what_is_wrong_in_a_chain_is_named_and_nothing_is_left(barn: Barn) -> None:
    await fan(barn)
    cases: list[tuple[list[dict[str, Any]], str]] = [
        ([{"type": "filter", "config": {**WARM, "operator": "~"}}], "nodes.0.config.operator"),
        ([{"type": "filter", "config": "nothing"}], "nodes.0.config"),
        ([{"type": "action", "config": COOL, "nextNodeId": 5}], "nodes.0.nextNodeId"),
    ]
    for nodes, field in cases:
        answer = await barn.ask("POST", "/rule-chains", {"name": "Wrong", "nodes": nodes})
        assert answer.status_code == 400, answer.text
        assert answer.json()["field"] == field
    assert (await barn.good("GET", "/rule-chains"))["ruleChains"] == []
