"""Chains: rule chains as the farm's wire has them, over those of the platform.

A chain's number is the farm's; its nodes have numbers of their own, `chain * 1000 + n`.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.rows import encoded
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.states import set_state, text_of
from fleetwire.apps.farm.tables import rule_chains
from fleetwire.apps.farm.terms import Terms
from fleetwire.kit import (
    App,
    Caller,
    Effects,
    InvalidValueError,
    Messages,
    NotFoundError,
    RuleChain,
    RuleCommand,
    RuleExecution,
    RuleNode,
    Rules,
    Store,
    Transaction,
)
from fleetwire.kit.instants import iso, now

MOST_NODES: Final = 999
TELL_EVERY_S: Final = 1.0
MOST_TOLD: Final = 10_000  # at a time; older ones of a longer silence are in the log alone
STOPPED: Final = "stopped"

Node = dict[str, Any]


def node_key(chain: int, number: int) -> str:
    """Return the key of a chain's n-th node."""
    return str(chain * (MOST_NODES + 1) + number)


def chain_of(node: int) -> int:
    """Return the chain that a node belongs to."""
    return node // (MOST_NODES + 1)


def numbered(chain: int, first: int, said: list[Node]) -> tuple[RuleNode, ...]:
    """Return new nodes with keys of their own; links between them follow what was said.

    A node is said with any `id`, which another one's `nextNodeId` may name; one without a link and
    without an id leads to the next of the list. Raises RefusedError naming the field.
    """
    keys = [node_key(chain, first + index) for index in range(len(said))]
    by_id: dict[str, str] = {}
    for key, each in zip(keys, said, strict=True):
        if each.get("id") is not None:
            by_id[str(each["id"])] = key
    made = []
    for index, each in enumerate(said):
        link = each.get("next_node_id")
        if link is not None and str(link) not in by_id:
            raise RefusedError(
                f"nodes.{index}.nextNodeId names no node of this chain",
                field=f"nodes.{index}.nextNodeId",
            )
        following = None if link is None else by_id[str(link)]
        if link is None and not by_id and index + 1 < len(said):
            following = keys[index + 1]
        made.append(
            RuleNode(keys[index], each["type"], each["config"], following, each.get("name") or "")
        )
    return tuple(made)


def changed(nodes: tuple[RuleNode, ...], id: str, said: Node) -> tuple[RuleNode, ...]:
    """Return the nodes with one of them changed. Raises NotFoundError, RefusedError."""
    if all(each.id != id for each in nodes):
        raise NotFoundError("There is no such rule chain node.", field="id")
    if "next_node_id" in said:
        link = said["next_node_id"]
        said = {**said, "next_node_id": None if link is None else str(link)}
        if said["next_node_id"] not in (None, *(each.id for each in nodes)):
            raise RefusedError("nextNodeId names no node of this chain", field="nextNodeId")
    names = {"next_node_id": "next"}
    values = {names.get(name, name): value for name, value in said.items()}
    return tuple(
        msgspec.structs.replace(each, **values) if each.id == id else each for each in nodes
    )


def without(nodes: tuple[RuleNode, ...], id: str) -> tuple[RuleNode, ...]:
    """Return the nodes without one; what led to it leads to what followed. Raises NotFoundError."""
    gone = next((each for each in nodes if each.id == id), None)
    if gone is None:
        raise NotFoundError("There is no such rule chain node.", field="id")
    following = None if gone.next == id else gone.next
    return tuple(
        msgspec.structs.replace(each, next=following) if each.next == id else each
        for each in nodes
        if each.id != id
    )


def shown_chain(chain: RuleChain, organization_id: int) -> dict[str, Any]:
    """Return a chain as the wire has it."""
    draft = chain.draft
    schedule = draft.schedule
    return {
        "id": int(chain.id),
        "organizationId": organization_id,
        "name": draft.name,
        "description": draft.description,
        "enabled": draft.enabled,
        "schedule": None
        if schedule is None
        else {"cron": schedule.cron, "timezone": schedule.timezone},
        "nextRunAt": None if chain.next_at is None else iso(chain.next_at),
        "nodes": [shown_node(each) for each in draft.nodes],
        "createdAt": iso(chain.created_at),
        "updatedAt": iso(chain.updated_at),
    }


def shown_node(node: RuleNode) -> dict[str, Any]:
    """Return a node as the wire has it."""
    return {
        "id": int(node.id),
        "ruleChainId": chain_of(int(node.id)),
        "type": node.type,
        "name": node.name,
        "config": node.config,
        "nextNodeId": None if node.next is None else int(node.next),
    }


def shown_execution(run: RuleExecution, organization_id: int) -> dict[str, Any]:
    """Return a run as the wire has it."""
    return {
        "type": "rule_chain_execution",
        "id": run.id,
        "organizationId": organization_id,
        "ruleChainId": int(run.chain_id),
        "trigger": run.kind,
        "outcome": run.outcome,
        "abortedReason": run.aborted_reason,
        "error": run.error,
        "repeats": run.repeats,
        "timestamp": iso(run.started_at),
        "nodes": [
            {
                "nodeId": int(each.node),
                "type": each.type,
                "outcome": each.outcome,
                "inputs": each.inputs,
                "result": each.result,
                "error": each.error,
            }
            for each in run.nodes
        ],
    }


def add_to(app: App, terms: Terms) -> None:
    """Let DEVICE_COMMAND of the app's chains set states."""

    def command(tx: Transaction, said: RuleCommand) -> Effects:
        name, value = said.command.get("stateName"), text_of(said.command.get("value"))
        if not isinstance(name, str) or value is None:
            raise InvalidValueError("A command needs stateName and value", field="command")
        return set_state(
            tx,
            said.device,
            name,
            value,
            initiated_by="rule",
            initiator=f"rule-chain:{said.chain.id}",
            now=now(),
            expires_in_s=terms.command_expires_s,
            key=said.key,
        ).effects

    told = Told()

    @app.on_start
    async def begin(rules: Rules, store: Store) -> None:
        rules.commands_by(app.name, command)
        await told.begin(rules, store)

    @app.every(TELL_EVERY_S)
    async def tell(rules: Rules, store: Store, messages: Messages) -> None:
        await told.tell(rules, store, messages)


class Told:
    """Which runs were told on `organizations/{id}/rule-chains`: those of this process's life.

    A run that a filter stopped is none that anybody waits for; it is in the log of the chain.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}  # by organisation of the house, the newest run

    async def begin(self, rules: Rules, store: Store) -> None:
        """Note what was there before."""
        for tenant_id in await store.read(_tenants):
            found = (await rules.executions(Caller.system(tenant_id), APP, limit=1)).items
            self._last[tenant_id] = found[0].id if found else 0

    async def tell(self, rules: Rules, store: Store, messages: Messages) -> None:
        """Tell what has run since the last time, oldest first."""
        for tenant_id in await store.read(_tenants):
            house = Caller.system(tenant_id)
            new = await self._new(rules, house)
            if not new:
                continue
            farms = await store.read(lambda c, tenant=tenant_id: _farms(c, tenant))  # type: ignore[misc]  # mypy cannot infer a lambda's default
            for run in reversed(new):
                farm = farms.get(run.chain_id)
                if run.outcome != STOPPED and farm is not None:
                    said = encoded(shown_execution(run, farm))
                    topic = f"organizations/{farm}/rule-chains"
                    await messages.publish(house, topic, said, qos=1)
            self._last[tenant_id] = new[0].id

    async def _new(self, rules: Rules, house: Caller) -> list[RuleExecution]:
        """Return the runs after the last that was told, newest first."""
        last = self._last.get(house.organization_id, 0)
        found: list[RuleExecution] = []
        cursor: str | None = None
        while len(found) < MOST_TOLD:
            page = await rules.executions(house, APP, limit=100, cursor=cursor)
            found += [each for each in page.items if each.id > last]
            cursor = page.next_cursor
            if cursor is None or page.items[-1].id <= last:
                break
        return found


def _tenants(connection: Connection) -> list[int]:
    return list(connection.execute(select(rule_chains.c.tenant_id).distinct()).scalars())


def _farms(connection: Connection, tenant_id: int) -> dict[str, int]:
    asked = select(rule_chains.c.id, rule_chains.c.organization_id).where(
        rule_chains.c.tenant_id == tenant_id
    )
    return {str(row.id): row.organization_id for row in connection.execute(asked)}
