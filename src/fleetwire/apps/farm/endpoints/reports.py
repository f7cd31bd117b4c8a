"""HTTP: `/reports`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from fleetwire.apps.farm import chains, reports
from fleetwire.apps.farm.endpoints.common import VALUES, WRONG, Answer, OrganizationId, TheStore
from fleetwire.apps.farm.endpoints.health import TheHealth, mqtt_of
from fleetwire.apps.farm.endpoints.rule_bodies import TheRules
from fleetwire.apps.farm.rows import page as page_of
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import rule_chains
from fleetwire.kit import Asks
from fleetwire.kit.instants import now

Page = Annotated[int, Query(ge=1, le=10_000)]
PageLimit = Annotated[int, Query(ge=1, le=500)]
MOST_CHAINS = 10_000

KINDS = {
    "device-status": reports.device_status,
    "sensor-telemetry": reports.sensor_telemetry,
    "organization-hierarchy": reports.organization_hierarchy,
    "area-utilization": reports.area_utilization,
    "sensor-anomaly": reports.sensor_anomaly,
}

router = APIRouter(tags=["reports"], responses=WRONG)


def _route(kind: str) -> Callable[..., Awaitable[Answer]]:
    report = KINDS[kind]

    async def read_report(
        caller: Asks,
        store: TheStore,
        organization_id: OrganizationId = None,
        page: Page = 1,
        limit: PageLimit = 50,
    ) -> Answer:
        caller.require(VALUES)
        part = reports.Part(caller.organization_id, organization_id, page, limit)
        at = now()
        found, total = await store.read(lambda connection: report(connection, part, at))
        return _page(found, total, page, limit)

    read_report.__doc__ = report.__doc__
    return read_report


for _kind in KINDS:
    router.get(f"/reports/{_kind}", name=_kind, operation_id=f"report_{_kind}")(_route(_kind))


@router.get("/reports/rule-chain-execution")
async def read_executions(
    caller: Asks,
    store: TheStore,
    rules: TheRules,
    organization_id: OrganizationId = None,
    page: Annotated[int, Query(ge=1, le=20)] = 1,
    limit: Annotated[int, Query(ge=1, le=50)] = 50,
) -> Answer:
    """Return the newest runs of chains; `total` counts those that were looked at, up to 1,000."""
    caller.require(VALUES)
    found, _ = await store.read(
        lambda c: page_of(c, caller.organization_id, rule_chains, MOST_CHAINS, None)
    )
    farms = {str(each.id): each.organization_id for each in found}
    runs = (await rules.executions(caller, APP, limit=1000)).items
    shown = [
        chains.shown_execution(run, farms[run.chain_id])
        for run in runs
        if run.chain_id in farms and organization_id in (None, farms[run.chain_id])
    ]
    return _page(shown[(page - 1) * limit : page * limit], len(shown), page, limit)


@router.get("/mqtt/stats")
async def read_statistics(caller: Asks, health: TheHealth) -> Answer:
    """Return how many clients MQTT has, and where it is spoken."""
    caller.require("broker.read")
    parts = {each.name: each for each in await health.components()}
    broker = parts["broker"]
    said = mqtt_of(broker.status, broker.detail)
    said["isInitialized"] = said.pop("status") == "ok"
    return {"status": "success", "data": said}


def _page(found: list[dict[str, Any]], total: int, page: int, limit: int) -> Answer:
    return {
        "status": "success",
        "results": len(found),
        "data": {"report": found},
        "page": page,
        "limit": limit,
        "total": total,
    }
