"""HTTP: how the service is. `/health` is open to all, `/metrics` to this machine."""

import ipaddress
from typing import Annotated

from fastapi import APIRouter, Request, Response, status

from fleetwire.apps.medical.schemas import ComponentView, DetailedHealthView, HealthView
from fleetwire.kit import Asks, Health, service, who_asks
from fleetwire.kit.instants import iso, now

TheHealth = Annotated[Health, service(Health)]

router = APIRouter(tags=["health"])


@router.get("/health", responses={503: {"model": HealthView}})
async def read_health(response: Response, health: TheHealth) -> HealthView:
    """Say whether broker and store take messages; 503 when they do not."""
    connected = health.is_connected()
    if not connected:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return HealthView(
        status="healthy" if connected else "unhealthy", connected=connected, timestamp=iso(now())
    )


@router.get("/health/detailed", responses={503: {"model": DetailedHealthView}})
async def read_detailed_health(
    response: Response, caller: Asks, health: TheHealth
) -> DetailedHealthView:
    """Return the state of each part of the house, with what asking it took."""
    components = await health.components()
    connected = health.is_connected()
    if not connected:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return DetailedHealthView(
        status="healthy" if connected else "unhealthy",
        connected=connected,
        timestamp=iso(now()),
        components={
            each.name: ComponentView(
                status=each.status, latency_ms=each.latency_ms, detail=each.detail
            )
            for each in components
        },
    )


@router.get("/metrics", response_class=Response)
async def read_metrics(request: Request, health: TheHealth) -> Response:
    """Return the Prometheus text exposition; from another machine this needs a token."""
    if not _is_local(request):
        await who_asks(request)
    return Response(health.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _is_local(request: Request) -> bool:
    """Say whether this machine itself asks, and not a proxy on it for somebody else."""
    if "forwarded" in request.headers or "x-forwarded-for" in request.headers:
        return False
    server = request.scope.get("server") or ("", 0)
    client = request.client.host if request.client is not None else ""
    return _is_loopback(server[0]) and _is_loopback(client)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
