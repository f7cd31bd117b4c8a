"""The rooms' routes on a small application of their own, without what the web layer adds."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import JSONResponse

from fleetwire.errors import DomainError, UnauthenticatedError
from fleetwire.kit import Caller, Gate
from fleetwire.web.visits import AddressVisits
from tests.fakes import caller


class HeaderGate(Gate):
    """Believes the header `Organization`."""

    async def caller(self, connection: HTTPConnection) -> Caller:
        organization = connection.headers.get("Organization")
        if organization is None:
            raise UnauthenticatedError("Who are you?")
        return caller(int(organization))


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)
    return JSONResponse({"detail": error.message, "field": error.field}, error.status)


@asynccontextmanager
async def serving(
    routers: Sequence[APIRouter], services: Mapping[Any, object]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of these routes, signed in to organisation 1."""
    application = FastAPI()
    application.state.gate = HeaderGate()
    application.state.services = services
    application.state.visits = AddressVisits()
    application.add_exception_handler(DomainError, _refuse)
    for router in routers:
        application.include_router(router)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"Organization": "1"}
    ) as client:
        yield client
