"""HTTP: `/health`, open to all, and `/metrics/prometheus`."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from fleetwire.kit import AsksOrDevelops, Health, open_to_all, service
from fleetwire.kit.instants import iso, now

TheHealth = Annotated[Health, service(Health)]
PROMETHEUS = "text/plain; version=0.0.4"
NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "Something does not work"}}
NEEDED = ("database", "broker")


def health_routes() -> list[APIRouter]:
    """Return the routes, under the app's root and without it."""
    return [_routes("/api/v1", is_shown=True), _routes("", is_shown=False)]


def _routes(prefix: str, *, is_shown: bool) -> APIRouter:
    router = APIRouter(prefix=prefix, tags=["health"], include_in_schema=is_shown)

    @router.get("/health", dependencies=[open_to_all(per_minute=600)], responses=NOT_READY)
    async def read_health(health: TheHealth, response: Response) -> dict[str, Any]:
        """Say how database and MQTT are; 503 if one of them is down."""
        return await _whole(health, response)

    @router.get("/health/liveness", dependencies=[open_to_all(per_minute=600)])
    async def read_liveness() -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "ok", "timestamp": iso(now())}

    @router.get(
        "/health/readiness", dependencies=[open_to_all(per_minute=600)], responses=NOT_READY
    )
    async def read_readiness(health: TheHealth, response: Response) -> dict[str, Any]:
        """Say whether messages are taken; 503 if not."""
        return await _whole(health, response)

    @router.get("/metrics/prometheus", include_in_schema=is_shown, response_class=PlainTextResponse)
    async def read_metrics(caller: AsksOrDevelops, health: TheHealth) -> Response:
        """Return the figures of the house for Prometheus."""
        caller.require("broker.read")
        return PlainTextResponse(health.metrics(), media_type=PROMETHEUS)

    return router


async def _whole(health: Health, response: Response) -> dict[str, Any]:
    parts = {each.name: each for each in await health.components()}
    is_well = all(name not in parts or parts[name].status != "down" for name in NEEDED)
    if not is_well:
        response.status_code = 503
    return {
        "status": "ok" if is_well else "error",
        "timestamp": iso(now()),
        "services": {
            "database": {"status": parts["database"].status if "database" in parts else "down"},
            "mqtt": mqtt_of(parts["broker"].status, parts["broker"].detail)
            if "broker" in parts
            else {"status": "down"},
        },
    }


def mqtt_of(status: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Return the broker's state by the farm's names."""
    return {
        "status": status,
        "connectedClients": detail.get("connections", 0),
        "authenticatedClients": detail.get("authenticated", 0),
        "port": detail.get("port"),
        "host": detail.get("host"),
    }
