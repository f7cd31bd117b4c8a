"""HTTP: rule chains and their runs."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response, status

from fleetwire.features.rules.schemas import (
    ChainChange,
    ChainPage,
    ChainView,
    DryRunView,
    ExecutionPage,
    ExecutionView,
    NewChain,
    NewDryRun,
    NewRun,
)
from fleetwire.kit import instants
from fleetwire.kit.etags import PRECONDITIONS, IfMatch, etag
from fleetwire.kit.http import Asks, service
from fleetwire.kit.rules import RuleChain, Rules

router = APIRouter(prefix="/api/v1/rules", tags=["rules"])

TheRules = Annotated[Rules, service(Rules)]

_TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"description": "The organisation has as many chains as it may have"}
}
_BUSY: dict[int | str, dict[str, Any]] = {429: {"description": "Too many runs wait already"}}


def tag_of(chain: RuleChain) -> str:
    """Return the tag of what a chain says."""
    return etag(chain.app, chain.id, msgspec.to_builtins(chain.draft))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=_TOO_MANY | {409: {"description": "The organisation has a chain of this id"}},
)
async def create_chain(
    body: NewChain, caller: Asks, rules: TheRules, response: Response
) -> ChainView:
    """Store a chain. If it is enabled, the next reading that it names wakes it."""
    chain = await rules.create(caller, body.app, body.draft(), chain_id=body.id)
    response.headers["ETag"] = tag_of(chain)
    return ChainView.of(chain)


@router.get("")
async def list_chains(
    caller: Asks,
    rules: TheRules,
    app: Annotated[str | None, Query(max_length=64)] = None,
    search: Annotated[str | None, Query(max_length=200, description="occurs in the name")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ChainPage:
    """List the organisation's chains in the order they were made."""
    page = await rules.list(caller, app, search=search, limit=limit, cursor=cursor)
    return ChainPage(
        items=[ChainView.of(chain) for chain in page.items], next_cursor=page.next_cursor
    )


@router.get("/{app}/{chain_id}")
async def read_chain(
    app: str, chain_id: str, caller: Asks, rules: TheRules, response: Response
) -> ChainView:
    """Return a chain. Without `device.write`, webhooks' headers are not shown."""
    chain = await rules.get(caller, app, chain_id)
    response.headers["ETag"] = tag_of(chain)
    return ChainView.of(chain)


@router.patch("/{app}/{chain_id}", responses=PRECONDITIONS)
async def change_chain(
    app: str,
    chain_id: str,
    body: ChainChange,
    caller: Asks,
    rules: TheRules,
    if_match: IfMatch,
    response: Response,
) -> ChainView:
    """Change what is sent."""
    chain = await rules.update(
        caller, app, chain_id, body.applied, expects=lambda found: if_match.check(tag_of(found))
    )
    response.headers["ETag"] = tag_of(chain)
    return ChainView.of(chain)


@router.delete("/{app}/{chain_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_chain(app: str, chain_id: str, caller: Asks, rules: TheRules) -> None:
    """Remove a chain, its log, and what it still wanted to send."""
    await rules.delete(caller, app, chain_id)


@router.post("/{app}/{chain_id}/run", responses=_BUSY)
async def run_chain(
    app: str, chain_id: str, body: NewRun, caller: Asks, rules: TheRules
) -> ExecutionView:
    """Run a chain now, with the newest values, also one that is not enabled."""
    return ExecutionView.of(await rules.run(caller, app, chain_id, trigger=body.trigger))


@router.post("/{app}/{chain_id}/dry-run")
async def dry_run_chain(
    app: str, chain_id: str, body: NewDryRun, caller: Asks, rules: TheRules
) -> DryRunView:
    """Say what the chain, or a draft of it, would have done with stored readings."""
    chain = await rules.get(caller, app, chain_id)
    found = await rules.dry_run(
        caller,
        app,
        chain.draft if body.draft is None else body.draft.draft(),
        from_at=None if body.from_ is None else instants.parse(body.from_, "from"),
        to_at=None if body.to is None else instants.parse(body.to, "to"),
        limit=body.limit,
    )
    return DryRunView.of(found)


@router.get("/{app}/{chain_id}/executions")
async def list_executions(
    app: str,
    chain_id: str,
    caller: Asks,
    rules: TheRules,
    outcome: Literal["completed", "stopped", "aborted", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ExecutionPage:
    """List a chain's runs, newest first, with what each node saw."""
    page = await rules.executions(
        caller, app, chain_id, outcome=outcome, limit=limit, cursor=cursor
    )
    return ExecutionPage(
        items=[ExecutionView.of(each) for each in page.items], next_cursor=page.next_cursor
    )
