"""How devices get in, over HTTP: what people and what devices are answered."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256

import httpx
import pytest

from fleetwire.features.provisioning import (
    device_endpoints,
    endpoints,
    page,
    qr,
)
from fleetwire.features.provisioning.approvals import Approvals
from fleetwire.features.provisioning.claims import Claims
from fleetwire.features.provisioning.enrolling import Enrolling
from fleetwire.features.provisioning.fleet_keys import FleetKeys
from fleetwire.features.provisioning.way_in import WayIn
from tests.features.http import serving
from tests.features.provisioning.conftest import PORTS, Entrance

CLAIM = {"app": "demo", "device_id": "d", "type": "meter"}
KEY = {"name": "line 2", "app": "demo", "type": "meter"}


@pytest.fixture
async def http(entrance: Entrance) -> AsyncIterator[httpx.AsyncClient]:
    routers = [endpoints.router, device_endpoints.router, page.router]
    services = {
        Approvals: entrance.approvals,
        Claims: entrance.claims,
        Enrolling: entrance.enrolling,
        FleetKeys: entrance.keys,
        WayIn: entrance.way_in,
    }
    async with serving(routers, services) as client:
        yield client


async def test_a_claim_is_made_drawn_and_used(http: httpx.AsyncClient) -> None:
    made = await http.post("/api/v1/claims", json=CLAIM | {"valid_for": "8h"})
    assert made.status_code == 201
    body = made.json()
    assert (body["claim"]["state"], body["url"]) == ("open", f"http://test/claim#{body['code']}")
    drawn = await http.get(f"/api/v1/claims/{body['claim']['id']}/qr.svg")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.headers["cache-control"] == "no-store"
    assert drawn.text == qr.svg(body["url"])
    used = await http.post("/api/v1/provision/claim", json={"code": body["code"]})
    assert used.status_code == 200
    assert used.headers["cache-control"] == "no-store"
    told = used.json()
    assert (told["username"], told["host"], told["ports"]["mqtt"]) == ("d", "test", 1883)
    assert len(told["password"]) == 64
    listed = (await http.get("/api/v1/claims")).json()["items"]
    assert [each["state"] for each in listed] == ["used"]
    assert body["code"] not in str(listed)


async def test_what_is_said_of_the_end_must_fit(http: httpx.AsyncClient) -> None:
    for given, field in (
        ({"valid_for": "soon"}, "valid_for"),
        ({"valid_for": "0s"}, "valid_for"),
        ({"valid_for": "999999999w"}, "valid_for"),
        ({"valid_for": "1h", "expires_at": "2999-01-01T00:00:00Z"}, "valid_for"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "x"}, "expires_at"),
    ):
        refused = await http.post("/api/v1/claims", json=CLAIM | given)
        assert (refused.status_code, refused.json()["field"]) == (422, field), given


async def test_a_device_asks_waits_and_is_let_in(http: httpx.AsyncClient) -> None:
    key = (await http.post("/api/v1/fleet-keys", json=KEY)).json()["fleet_key"]
    asked = await http.post(
        "/api/v1/provision/enrol", json={"fleet_key": key, "device_id": "d", "facts": {"n": 1}}
    )
    assert (asked.status_code, asked.headers["retry-after"]) == (202, "10")
    token = asked.json()["poll_token"]
    waits = await http.post("/api/v1/provision/poll", json={"poll_token": token})
    assert (waits.status_code, waits.json()["state"]) == (202, "pending")
    (request,) = (await http.get("/api/v1/enrolments?state=pending")).json()["items"]
    path = f"/api/v1/enrolments/{request['id']}"
    approved = await http.post(f"{path}/approve", json={"name": "Bed 4"})
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    given = await http.post("/api/v1/provision/poll", json={"poll_token": token})
    assert (given.status_code, given.json()["mqtt"]["username"]) == (200, "d")
    read = (await http.get(path)).json()
    assert (read["state"], read["name"], read["facts"]) == ("enrolled", "Bed 4", {"n": 1})
    (shown,) = (await http.get("/api/v1/fleet-keys")).json()["items"]
    assert shown["enrolled"] == 1
    assert key not in str(shown)
    assert (await http.get("/api/v1/enrolments?state=lost")).status_code == 422


async def test_what_nobody_knows_is_401_and_what_was_refused_403(http: httpx.AsyncClient) -> None:
    for path, body in (
        ("claim", {"code": "2222-2222-2222"}),
        ("enrol", {"fleet_key": "x", "device_id": "d"}),
        ("poll", {"poll_token": "x"}),
    ):
        assert (await http.post(f"/api/v1/provision/{path}", json=body)).status_code == 401
    key = (await http.post("/api/v1/fleet-keys", json=KEY)).json()["fleet_key"]
    asked = {"fleet_key": key, "device_id": "d"}
    await http.post("/api/v1/provision/enrol", json=asked)
    refused = await http.post("/api/v1/enrolments/1/refuse", json={"reason": "no"})
    assert refused.json()["state"] == "refused"
    assert (await http.post("/api/v1/provision/enrol", json=asked)).status_code == 403


async def test_other_organisations_see_and_end_nothing(http: httpx.AsyncClient) -> None:
    await http.post("/api/v1/claims", json=CLAIM)
    await http.post("/api/v1/fleet-keys", json=KEY)
    theirs = {"Organization": "2"}
    assert (await http.get("/api/v1/claims", headers=theirs)).json()["items"] == []
    for path in ("claims/1", "fleet-keys/1"):
        assert (await http.delete(f"/api/v1/{path}", headers=theirs)).status_code == 404
        assert (await http.delete(f"/api/v1/{path}")).status_code == 204
    assert (await http.get("/api/v1/claims/1/qr.svg")).status_code == 409


async def test_a_host_that_is_none_is_not_told(http: httpx.AsyncClient) -> None:
    made = (await http.post("/api/v1/claims", json=CLAIM, headers={"Host": "[::1"})).json()
    used = await http.post(
        "/api/v1/provision/claim", json={"code": made["code"]}, headers={"Host": "[::1"}
    )
    assert used.status_code == 200
    assert "[" not in used.json()["host"]


async def test_the_address_can_be_a_setting(entrance: Entrance) -> None:
    way_in = WayIn(
        entrance.rooms.apps, lambda: PORTS, host="mqtt.example", public_url="https://x.example/f/"
    )
    assert way_in.claim_url("A", "http://test/") == "https://x.example/f/claim#A"


async def test_the_page_runs_its_own_script_and_no_other(http: httpx.AsyncClient) -> None:
    answer = await http.get("/claim")
    policy = answer.headers["content-security-policy"]
    for kind in ("script", "style"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
