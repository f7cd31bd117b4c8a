"""HTTP: `/health`, open to all."""

import time
from typing import Annotated, Any

from fastapi import APIRouter

from fleetwire.kit import Health, service
from fleetwire.kit.instants import iso, now


def health_routes() -> APIRouter:
    """Return the route; `uptime` counts from now, in seconds."""
    router = APIRouter(tags=["health"])
    began = time.monotonic()

    @router.get("/health")
    async def read_health(health: Annotated[Health, service(Health)]) -> dict[str, Any]:
        """Say that the listener answers, and whether tablets can be reached."""
        return {
            "status": "ok",
            "timestamp": iso(now()),
            "uptime": round(time.monotonic() - began, 3),
            "mqtt": {"connected": health.is_connected()},
        }

    return router
