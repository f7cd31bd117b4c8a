"""What is said of rule chains and their nodes, and how they are found."""

import json
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from sqlalchemy import Row

from fleetwire.apps.farm import chains, rows
from fleetwire.apps.farm.endpoints.common import VALUES, Body, KeyInBody, Name, Text
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import rule_chains
from fleetwire.kit import Caller, NotFoundError, RuleChain, Rules, RuleSchedule, Store, service

TheRules = Annotated[Rules, service(Rules)]
NodeType = Literal["filter", "transform", "action"]
NodeName = Annotated[str, Field(max_length=128, pattern=r"^[^\x00]*$")]
Config = dict[str, Any] | str
Link = int | str | None

FILTER: dict[str, Any] = {
    "type": "filter",
    "config": {
        "sourceType": "sensor",
        "UUID": "s-1",
        "key": "temperature",
        "operator": ">",
        "value": 30,
    },
}
ACTION: dict[str, Any] = {
    "type": "action",
    "config": {
        "type": "DEVICE_COMMAND",
        "command": {
            "deviceUuid": "fan-1",
            "stateName": "power",
            "value": "on",
            "initiatedBy": "rule",
        },
    },
}


class ScheduleBody(Body):
    """When a chain runs by the clock."""

    cron: Annotated[str, Field(min_length=1, max_length=128)]
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"


class NodePart(Body):
    """A node within a chain that is made; `nextNodeId` names another's `id` in the same list."""

    id: Link = None
    type: NodeType
    name: NodeName = ""
    config: Config
    next_node_id: Link = None


class ChainBody(Body):
    """A chain of rules."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Too warm", "nodes": [FILTER, ACTION]}]}
    )

    name: Name
    organization_id: KeyInBody | None = None
    description: Text = ""
    enabled: bool = True
    schedule: ScheduleBody | None = None
    nodes: Annotated[list[NodePart], Field(max_length=chains.MOST_NODES, default_factory=list)]


class ChainChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    name: Name = ""
    description: Text = ""
    enabled: bool = True
    schedule: ScheduleBody | None = None


class NodeBody(Body):
    """A node of a chain; `ruleChainId` may stand in the path instead."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ruleChainId": 1, **FILTER}]})

    rule_chain_id: KeyInBody | None = None
    type: NodeType
    name: NodeName = ""
    config: Config
    next_node_id: Link = None


class NodeChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"nextNodeId": 1002}]})

    type: NodeType = "filter"
    name: NodeName = ""
    config: Config = "{}"
    next_node_id: Link = None


async def find_chain(
    caller: Caller, id: int, store: Store, rules: Rules
) -> tuple[Row[Any], RuleChain]:
    """Return a chain and whose it is. Raises NotFoundError."""
    caller.require(VALUES)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, rule_chains, id))
    return row, await rules.get(caller, APP, str(id))


async def chains_of(
    caller: Caller, found: list[Row[Any]], rules: Rules
) -> list[tuple[Row[Any], RuleChain]]:
    """Return the chains of rows, without those that were removed on the platform's own routes."""
    pairs = []
    for row in found:
        with suppress(NotFoundError):
            pairs.append((row, await rules.get(caller, APP, str(row.id))))
    return pairs


def said_of(body: Body, place: str = "") -> dict[str, Any]:
    """Return what was sent of a node; its configuration may be JSON text."""
    said = body.given()
    config = said.get("config")
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except (ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise RefusedError(f"{place}config must be an object", field=f"{place}config")
        said["config"] = config
    return said


def schedule_of(said: ScheduleBody | None) -> RuleSchedule | None:
    """Return a schedule as the platform has it."""
    return None if said is None else RuleSchedule(said.cron, said.timezone)
