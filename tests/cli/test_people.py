"""`fleetwire accounts` and `fleetwire keys`."""

import json

import httpx
import pytest

from tests.cli.conftest import Run
from tests.house import House

PASSWORD = "correct horse battery staple"


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


def test_somebody_is_invited_joins_and_gets_a_new_password(at_house: House, run: Run) -> None:
    url = f"http://127.0.0.1:{at_house.http_port}/api/v1/auth"
    token = run("accounts", "invite", "ann@example.org", "--role", "operator").out.strip()
    body = {"token": token, "username": "ann", "password": PASSWORD}
    joined = httpx.post(f"{url}/accept-invitation", json=body)
    assert joined.status_code == 201, joined.text
    listed = json.loads(run("accounts", "list", "--json").out)
    (id,) = [each["id"] for each in listed if each["username"] == "ann"]
    token = run("accounts", "reset-password", str(id)).out.strip()
    new = {"token": token, "new_password": "quite another password"}
    assert httpx.post(f"{url}/reset-password", json=new).status_code == 204
    signed_in = {"username": "ann", "password": "quite another password"}
    assert httpx.post(f"{url}/login", json=signed_in).status_code == 200
    refused = run("accounts", "remove", str(id))
    assert refused.status == 1
    assert "no other organisation" in refused.err


def test_a_key_opens_http_until_it_is_revoked(at_house: House, run: Run) -> None:
    made = run("keys", "create", "reader", "--permission", "device.read")
    bearer = {"authorization": f"Bearer {made.out.strip()}"}
    api = f"http://127.0.0.1:{at_house.http_port}/api/v1"
    assert httpx.get(f"{api}/devices", headers=bearer).status_code == 200
    assert httpx.get(f"{api}/accounts", headers=bearer).status_code == 403
    assert made.out.strip() not in run("keys", "list").out
    (key,) = [k for k in json.loads(run("keys", "list", "--json").out) if k["name"] == "reader"]
    assert run("keys", "revoke", str(key["id"])).status == 0
    assert httpx.get(f"{api}/devices", headers=bearer).status_code == 401
