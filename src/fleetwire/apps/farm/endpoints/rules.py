"""HTTP: `/rule-chains`."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from sqlalchemy import Row

from fleetwire.apps.farm import chains, rows
from fleetwire.apps.farm.endpoints.common import (
    VALUES,
    WRITE,
    WRONG,
    Answer,
    Cursor,
    Key,
    Limit,
    OrganizationId,
    TheStore,
    success,
)
from fleetwire.apps.farm.endpoints.rule_bodies import (
    ChainBody,
    ChainChange,
    TheRules,
    chains_of,
    find_chain,
    said_of,
    schedule_of,
)
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import rule_chains
from fleetwire.kit import Asks, Caller, RuleChain, RuleDraft, Rules, Store, Transaction
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.instants import now

router = APIRouter(prefix="/rule-chains", tags=["rules"], responses=WRONG)


@router.get("")
async def list_chains(
    caller: Asks,
    store: TheStore,
    rules: TheRules,
    organization_id: OrganizationId = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Cursor = None,
) -> Answer:
    """List chains."""
    caller.require(VALUES)
    where = [] if organization_id is None else [rule_chains.c.organization_id == organization_id]
    found, following = await store.read(
        lambda c: rows.page(c, caller.organization_id, rule_chains, limit, cursor, *where)
    )
    shown = [
        chains.shown_chain(chain, row.organization_id)
        for row, chain in await chains_of(caller, found, rules)
    ]
    return {**success(ruleChains=shown), "results": len(shown), "nextCursor": following}


@router.post("", status_code=201)
async def create_chain(caller: Asks, body: ChainBody, store: TheStore, rules: TheRules) -> Answer:
    """Add a chain, with its nodes if they are said."""
    caller.require(WRITE)
    at = now()

    def work(tx: Transaction) -> Row[Any]:
        tenant_id = caller.organization_id
        farm = rows.farm_of(tx, tenant_id, body.organization_id, at)
        values = {"organization_id": farm, "next_node": len(body.nodes) + 1}
        times = {"created_at": at, "updated_at": at}
        return rows.add(tx, rule_chains, tenant_id=tenant_id, **values, **times)

    row = await store.write(work)
    try:
        said = [said_of(each, f"nodes.{index}.") for index, each in enumerate(body.nodes)]
        draft = RuleDraft(
            name=body.name,
            nodes=chains.numbered(row.id, 1, said),
            description=body.description,
            enabled=body.enabled,
            schedule=schedule_of(body.schedule),
        )
        made = await rules.create(caller, APP, draft, chain_id=str(row.id))
    except BaseException:
        await store.write(lambda tx: rows.remove(tx, rule_chains, row.id))
        raise
    return success(ruleChain=chains.shown_chain(made, row.organization_id))


@router.get("/{id}")
async def read_chain(
    id: Key, caller: Asks, store: TheStore, rules: TheRules, response: Response
) -> Answer:
    """Return a chain with its nodes."""
    row, chain = await find_chain(caller, id, store, rules)
    response.headers["ETag"] = _tag_of(chain)
    return success(ruleChain=chains.shown_chain(chain, row.organization_id))


@router.put("/{id}", include_in_schema=False)
@router.patch("/{id}", responses=PRECONDITIONS)
async def change_chain(
    id: Key,
    caller: Asks,
    body: ChainChange,
    store: TheStore,
    rules: TheRules,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Change what is sent; nodes have routes of their own."""
    caller.require(WRITE)
    row, _ = await find_chain(caller, id, store, rules)
    said = body.given()
    if "schedule" in said:
        said["schedule"] = schedule_of(body.schedule)
    made = await rules.update(
        caller,
        APP,
        str(id),
        lambda draft: msgspec.structs.replace(draft, **said),
        expects=lambda chain: if_match.check(_tag_of(chain)),
    )
    response.headers["ETag"] = _tag_of(made)
    return success(ruleChain=chains.shown_chain(made, row.organization_id))


@router.delete("/{id}", status_code=204)
async def delete_chain(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> None:
    """Remove a chain."""
    caller.require(WRITE)
    await find_chain(caller, id, store, rules)
    await rules.delete(caller, APP, str(id))
    await store.write(lambda tx: rows.remove(tx, rule_chains, id))


@router.get("/{id}/executions")
async def list_executions(
    id: Key, caller: Asks, store: TheStore, rules: TheRules, limit: Limit = 50
) -> Answer:
    """List a chain's runs, newest first, with what each node saw and did."""
    row, _ = await find_chain(caller, id, store, rules)
    found = await rules.executions(caller, APP, str(id), limit=limit)
    shown = [chains.shown_execution(each, row.organization_id) for each in found.items]
    return {**success(executions=shown), "results": len(shown)}


@router.post("/{id}/execute")
async def execute(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> Answer:
    """Run a chain now and return how it went."""
    return await _run(caller, id, store, rules)


@router.post("/{id}/trigger")
async def trigger(id: Key, caller: Asks, store: TheStore, rules: TheRules) -> Answer:
    """Run a chain now and return how it went."""
    return await _run(caller, id, store, rules)


async def _run(caller: Caller, id: int, store: Store, rules: Rules) -> Answer:
    caller.require("command.send")
    row, _ = await find_chain(caller, id, store, rules)
    run = await rules.run(caller, APP, str(id))
    return success(execution=chains.shown_execution(run, row.organization_id))


def _tag_of(chain: RuleChain) -> str:
    return etag(chain.id, msgspec.to_builtins(chain.draft))
