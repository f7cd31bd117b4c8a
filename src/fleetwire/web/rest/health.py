"""HTTP: how the house is, for load balancers and Prometheus.

`/health/live` says that the process answers, and nothing of its parts: a restart helps against a
process that hangs, not against a full disk. `/health/ready` says whether to send it work.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, Response

from fleetwire.kit.http import service, who_asks
from fleetwire.kit.instants import iso, now
from fleetwire.kit.services import Health

TheHealth = Annotated[Health, service(Health)]


def health_router(*, metrics_open: bool) -> APIRouter:
    """Return the routes; `metrics_open` serves `/metrics` without a token (loopback only)."""
    router = APIRouter(tags=["health"])

    @router.get("/health/ready", responses={503: {"description": "not ready"}})
    @router.get("/health", responses={503: {"description": "not ready"}})
    async def readiness(health: TheHealth) -> JSONResponse:
        """Say whether the house takes messages and requests."""
        ready = health.is_connected()
        components = await health.components()
        ready = ready and all(component.status != "down" for component in components)
        return JSONResponse(
            {
                "status": "ok" if ready else "unavailable",
                "timestamp": iso(now()),
                "components": {c.name: c.status for c in components},
            },
            200 if ready else 503,
        )

    @router.get("/health/live")
    @router.get("/health/liveness")
    async def liveness() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok", "timestamp": iso(now())}

    @router.get("/health/detail", dependencies=[Depends(who_asks)])
    async def detail(health: TheHealth) -> dict[str, Any]:
        """Show each part with its figures: lag and queues, commits, journal; for the signed in."""
        components = await health.components()
        down = any(component.status == "down" for component in components)
        return {
            "status": "unavailable" if down or not health.is_connected() else "ok",
            "timestamp": iso(now()),
            "components": {
                each.name: {
                    "status": each.status, "latency_ms": each.latency_ms, "detail": each.detail
                }
                for each in components
            },
        }  # fmt: skip

    async def may_read(connection: HTTPConnection) -> None:
        if not metrics_open:
            await who_asks(connection)

    @router.get("/metrics", response_class=Response, dependencies=[Depends(may_read)])
    async def metrics(health: TheHealth) -> Response:
        """Return Prometheus metrics."""
        return Response(health.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
