"""The app's routes over fake services."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.apps.medical import app
from tests.apps.medical.fakes import FakeHouse


@pytest.fixture
def fakes() -> FakeHouse:
    return FakeHouse(app)


@pytest.fixture
async def http(fakes: FakeHouse) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is signed in."""
    transport = httpx.ASGITransport(fakes.web, client=("127.0.0.1", 4000))
    headers = {"Authorization": "Bearer good"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def registered(http: httpx.AsyncClient) -> dict[str, object]:
    """The device bp-1 of the patient P-1."""
    answer = await http.post(
        "/devices/register",
        json={"device_id": "bp-1", "type": "blood_pressure_monitor", "patient_id": "P-1"},
    )
    assert answer.status_code == 201
    body: dict[str, object] = answer.json()
    return body
