"""An application of the test's own, asked over HTTP without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.requests import HTTPConnection

from fleetwire.errors import UnauthenticatedError
from fleetwire.kit import Caller, Gate
from fleetwire.web.application import create_application

Ask = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


class OpenGate(Gate):
    """Lets in whoever says `Bearer good`."""

    async def caller(self, connection: HTTPConnection) -> Caller:
        if connection.headers.get("authorization") != "Bearer good":
            raise UnauthenticatedError("Sign in first.")
        return Caller("account:1", 1, frozenset({"device.read"}), role="owner")


def application(*routers: APIRouter, **more: Any) -> FastAPI:
    """Return an application with these routes."""
    options: dict[str, Any] = {"gate": OpenGate(), "services": {}} | more
    return create_application(title="Test", description="", version="1", routers=routers, **options)


@asynccontextmanager
async def asking(app: FastAPI, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the application."""
    transport = httpx.ASGITransport(app)  # an error that the app does not answer fails the test
    async with httpx.AsyncClient(transport=transport, base_url="http://test", **more) as client:
        yield client


@pytest.fixture
def ask() -> Ask:
    """Serve routers and give a client: `async with ask(router) as http`."""

    def serve(*routers: APIRouter, **more: Any) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return asking(application(*routers, **more))

    return serve
