"""HTTP: nodes of rule chains."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy import select

from fleetwire.apps.farm import chains, rows
from fleetwire.apps.farm.endpoints.common import (
    VALUES,
    WRITE,
    WRONG,
    Answer,
    Cursor,
    Key,
    TheStore,
    success,
)
from fleetwire.apps.farm.endpoints.rule_bodies import (
    NodeBody,
    NodeChange,
    TheRules,
    chains_of,
    find_chain,
    said_of,
)
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import rule_chains
from fleetwire.kit import Asks, Caller, RuleDraft, Rules, Store, Transaction

router = APIRouter(prefix="/rule-chains", tags=["rules"], responses=WRONG)


@router.get("/nodes")
async def list_all_nodes(
    caller: Asks,
    store: TheStore,
    rules: TheRules,
    limit: Annotated[int, Query(ge=1, le=100, description="Of how many chains")] = 50,
    cursor: Cursor = None,
) -> Answer:
    """List the nodes of all chains."""
    caller.require(VALUES)
    found, following = await store.read(
        lambda c: rows.page(c, caller.organization_id, rule_chains, limit, cursor)
    )
    shown = [
        chains.shown_node(node)
        for _, chain in await chains_of(caller, found, rules)
        for node in chain.draft.nodes
    ]
    return {**success(nodes=shown), "results": len(shown), "nextCursor": following}


@router.post("/nodes", status_code=201)
async def create_node(caller: Asks, body: NodeBody, store: TheStore, rules: TheRules) -> Answer:
    """Add a node to the chain `ruleChainId`."""
    if body.rule_chain_id is None:
        raise RefusedError("ruleChainId is missing", field="ruleChainId")
    return await _add_node(caller, body.rule_chain_id, body, store, rules)


@router.get("/nodes/{id}")
async def read_node(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> Answer:
    """Return a node."""
    _, chain = await find_chain(caller, chains.chain_of(id), store, rules)
    found = [each for each in chain.draft.nodes if each.id == str(id)]
    if not found:
        chains.without(chain.draft.nodes, str(id))
    return success(node=chains.shown_node(found[0]))


@router.put("/nodes/{id}", include_in_schema=False)
@router.patch("/nodes/{id}")
async def change_node(
    id: Key, caller: Asks, body: NodeChange, store: TheStore, rules: TheRules
) -> Answer:
    """Change what is sent."""
    caller.require(WRITE)
    await find_chain(caller, chains.chain_of(id), store, rules)
    said = said_of(body)
    made = await rules.update(
        caller,
        APP,
        str(chains.chain_of(id)),
        lambda draft: msgspec.structs.replace(
            draft, nodes=chains.changed(draft.nodes, str(id), said)
        ),
    )
    [node] = [each for each in made.draft.nodes if each.id == str(id)]
    return success(node=chains.shown_node(node))


@router.delete("/nodes/{id}", status_code=204)
async def delete_node(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> None:
    """Remove a node; what led to it leads to what followed."""
    caller.require(WRITE)
    await find_chain(caller, chains.chain_of(id), store, rules)
    await rules.update(
        caller,
        APP,
        str(chains.chain_of(id)),
        lambda draft: msgspec.structs.replace(draft, nodes=chains.without(draft.nodes, str(id))),
    )


@router.get("/{id}/nodes")
async def list_nodes(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> Answer:
    """List the nodes of a chain."""
    _, chain = await find_chain(caller, id, store, rules)
    shown = [chains.shown_node(each) for each in chain.draft.nodes]
    return {**success(nodes=shown), "results": len(shown)}


@router.post("/{id}/nodes", status_code=201)
async def create_node_of(
    id: Key, caller: Asks, body: NodeBody, store: TheStore, rules: TheRules
) -> Answer:
    """Add a node to a chain."""
    return await _add_node(caller, id, body, store, rules)


async def _add_node(caller: Caller, id: int, body: NodeBody, store: Store, rules: Rules) -> Answer:
    caller.require(WRITE)
    await find_chain(caller, id, store, rules)
    said = said_of(body)
    said.pop("rule_chain_id", None)
    link = said.pop("next_node_id", None)

    def take(tx: Transaction) -> int:
        """Return the node's number; one that comes to nothing is not given again."""
        asked = select(rule_chains.c.next_node).where(rule_chains.c.id == id)
        number = int(tx.execute(asked).scalar_one())
        if number > chains.MOST_NODES:
            raise RefusedError(f"A chain has had {chains.MOST_NODES} nodes, which is the most")
        rows.change(tx, rule_chains, id, next_node=number + 1)
        return number

    [node] = chains.numbered(id, await store.write(take), [said])

    def change(draft: RuleDraft) -> RuleDraft:
        nodes = (*draft.nodes, node)
        if link is not None:
            nodes = chains.changed(nodes, node.id, {"next_node_id": link})
        return msgspec.structs.replace(draft, nodes=nodes)

    made = await rules.update(caller, APP, str(id), change)
    return success(node=chains.shown_node(made.draft.nodes[-1]))
