"""`fleetwire accounts` and `fleetwire keys`."""

import io
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


def test_a_key_of_ones_own_is_made_listed_and_revoked(at_house: House, run: Run) -> None:
    made = run("keys", "create", "laptop", "--mine", "--permission", "device.read")
    bearer = {"authorization": f"Bearer {made.out.strip()}"}
    api = f"http://127.0.0.1:{at_house.http_port}/api/v1"
    assert httpx.get(f"{api}/devices", headers=bearer).status_code == 200
    assert httpx.get(f"{api}/auth/me", headers=bearer).json()["permissions"] == ["device.read"]
    assert httpx.get(f"{api}/me/keys", headers=bearer).status_code == 403
    (key,) = json.loads(run("keys", "list", "--mine", "--json").out)
    assert (key["name"], key["kind"]) == ("laptop", "personal")
    assert run("keys", "revoke", str(key["id"]), "--mine").status == 0
    assert httpx.get(f"{api}/devices", headers=bearer).status_code == 401
    refused = run("keys", "create", "x", "--mine", "--subscribe", "a", "--permission", "a.b")
    assert refused.status == 2


def test_a_login_is_listed_and_ended(at_house: House, run: Run) -> None:
    token = at_house.login()
    bearer = {"authorization": f"Bearer {token}"}
    me = f"http://127.0.0.1:{at_house.http_port}/api/v1/auth/me"
    assert httpx.get(me, headers=bearer).status_code == 200
    newest = json.loads(run("accounts", "sessions", "list", "--json").out)[0]
    assert run("accounts", "sessions", "end", newest["id"]).status == 0
    assert httpx.get(me, headers=bearer).status_code == 401


def test_an_account_is_made_changed_closed_and_erased(
    at_house: House, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    made = run("accounts", "create", "bea", "--role", "operator", "--password-stdin")
    id = made.out.strip()
    login = f"http://127.0.0.1:{at_house.http_port}/api/v1/auth/login"
    signs_in = {"username": "bea", "password": PASSWORD}
    assert httpx.post(login, json=signs_in).json()["user"]["role"] == "operator"
    assert run("accounts", "change", id, "--role", "viewer", "--username", "beate").status == 0
    signs_in["username"] = "beate"
    assert httpx.post(login, json=signs_in).json()["user"]["role"] == "viewer"
    assert run("accounts", "sign-out", id).status == 0
    assert run("accounts", "change", id, "--close").status == 0
    assert httpx.post(login, json=signs_in).status_code == 401
    assert run("accounts", "erase", id).status == 0
    assert id not in [str(each["id"]) for each in json.loads(run("accounts", "list", "--json").out)]
