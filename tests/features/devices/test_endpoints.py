"""Devices over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.features.devices.endpoints import router
from fleetwire.kit import Devices
from tests.features.http import serving
from tests.features.rooms import Rooms

DEVICE = {"app": "demo", "device_id": "bp-1", "type": "meter", "attributes": {"patient_id": "p-1"}}


@pytest.fixture
async def http(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    async with serving([router], {Devices: rooms.devices}) as client:
        yield client


async def test_a_device_is_registered_read_changed_and_removed(http: httpx.AsyncClient) -> None:
    created = await http.post("/api/v1/devices", json=DEVICE)
    assert created.status_code == 201
    assert created.json()["credential"]["username"] == "bp-1"
    assert len(created.json()["credential"]["password"]) == 64

    read = await http.get("/api/v1/devices/demo/bp-1")
    assert read.json() == created.json()["device"]
    assert read.json()["presence"] == {
        "connected": False,
        "reason": None,
        "since": None,
        "last_seen": None,
    }
    assert read.json()["created_at"].endswith("Z")

    changed = await http.patch(
        "/api/v1/devices/demo/bp-1", json={"name": "Ward 3", "attributes": {"patient_id": None}}
    )
    assert (changed.json()["name"], changed.json()["attributes"]) == ("Ward 3", {})
    assert [d["device_id"] for d in (await http.get("/api/v1/devices")).json()["items"]] == ["bp-1"]

    assert (await http.delete("/api/v1/devices/demo/bp-1")).status_code == 204
    assert (await http.get("/api/v1/devices/demo/bp-1")).status_code == 404


async def test_credentials_are_issued_listed_without_password_and_revoked(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/api/v1/devices", json=DEVICE)
    path = "/api/v1/devices/demo/bp-1/credentials"
    issued = await http.post(path, json={"expires_at": "2099-01-01T00:00:00Z"})
    assert issued.status_code == 201
    assert issued.json()["expires_at"] == "2099-01-01T00:00:00.000Z"
    listed = (await http.get(path)).json()
    assert len(listed) == 2
    assert all("password" not in record for record in listed)
    assert (await http.delete(f"{path}/{issued.json()['id']}")).status_code == 204
    assert (await http.get(path)).json()[1]["revoked_at"] is not None
    past = await http.post(path, json={"expires_at": "2001-01-01"})
    assert (past.status_code, past.json()["field"]) == (422, "expires_at")


async def test_another_organisation_gets_404_and_nobody_gets_401(http: httpx.AsyncClient) -> None:
    await http.post("/api/v1/devices", json=DEVICE)
    stranger = await http.get("/api/v1/devices/demo/bp-1", headers={"Organization": "2"})
    assert stranger.status_code == 404
    del http.headers["Organization"]
    assert (await http.get("/api/v1/devices")).status_code == 401


async def test_a_taken_id_is_409_and_a_bad_one_422(http: httpx.AsyncClient) -> None:
    await http.post("/api/v1/devices", json=DEVICE)
    assert (await http.post("/api/v1/devices", json=DEVICE)).status_code == 409
    bad = await http.post("/api/v1/devices", json=DEVICE | {"device_id": "a/b"})
    assert (bad.status_code, bad.json()["field"]) == (422, "device_id")
