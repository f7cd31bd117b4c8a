"""create_application: one ASGI app for one listener."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from fleetwire.kit.http import Gate, who_asks
from fleetwire.web.limits import LimitBody, SecureHeaders
from fleetwire.web.problems import add_problem_handlers

MAX_BODY_BYTES = 1024 * 1024


def create_application(
    *,
    title: str,
    description: str,
    version: str,
    routers: Sequence[APIRouter],
    gate: Gate,
    services: Mapping[type, object],
    prefixes: Sequence[str] = ("",),
    max_body_bytes: int = MAX_BODY_BYTES,
) -> FastAPI:
    """Return the app: the routers under each prefix, errors as problems, bodies bounded.

    Swagger is at `/docs` and ReDoc at `/redoc`, both served from here without a CDN. Only the first
    prefix is in the OpenAPI document; the others answer the same.
    """
    app = FastAPIOffline(
        title=title,
        description=description,
        version=version,
        swagger_ui_parameters={"persistAuthorization": True},
    )
    app.state.gate = gate
    app.state.services = services
    for index, prefix in enumerate(prefixes):
        for router in routers:
            app.include_router(router, prefix=prefix, include_in_schema=index == 0)
    add_problem_handlers(app)
    _describe_security(app)
    app.add_middleware(LimitBody, max_bytes=max_body_bytes)
    app.add_middleware(SecureHeaders)
    return app


def _describe_security(app: FastAPI) -> None:
    """Let the OpenAPI document say which calls want a Bearer token, so that Swagger can send it."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = describe()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        for route in app.routes:
            if isinstance(route, APIRoute) and _asks_who(route.dependant):
                for method in route.methods or ():
                    operation = document["paths"].get(route.path, {}).get(method.lower())
                    if operation is not None:
                        operation["security"] = [{"bearer": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _asks_who(dependant: Dependant) -> bool:
    return dependant.call is who_asks or any(_asks_who(inner) for inner in dependant.dependencies)
