"""HTTP: how the house is, for load balancers and Prometheus."""

from typing import Annotated

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

    @router.get("/health/liveness")
    async def liveness() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok", "timestamp": iso(now())}

    async def may_read(connection: HTTPConnection) -> None:
        if not metrics_open:
            await who_asks(connection)

    @router.get("/metrics", dependencies=[Depends(may_read)])
    async def metrics(health: TheHealth) -> Response:
        """Return Prometheus metrics."""
        return Response(health.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
