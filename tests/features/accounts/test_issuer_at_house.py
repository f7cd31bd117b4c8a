"""A real server that believes an issuer of its own choice, as the settings say."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.features.accounts.jwks import JwksServer
from tests.house import House

pytestmark = pytest.mark.slow

FIRST, SECOND = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    with JwksServer().running() as server:
        server.rotate("first", FIRST)
        yield server


@pytest.fixture
def house_of_issuer(tmp_path: Path, issuer: JwksServer) -> Iterator[House]:
    environment = {
        "FLEETWIRE_JWKS_URL": issuer.url,
        "FLEETWIRE_JWT_ISSUER": "https://id.example",
        "FLEETWIRE_JWT_AUDIENCE": "fleetwire",
        "FLEETWIRE_JWT_ROLE_CLAIM": "realm_access.roles",
        "FLEETWIRE_JWT_ROLES": "fleet-admin=administrator,fleet-staff=operator",
    }
    house = House(tmp_path, environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


def _token(issuer: JwksServer, key_id: str, roles: list[str], **more: Any) -> str:
    claims = {
        "iss": "https://id.example",
        "aud": ["fleetwire"],
        "sub": "0815",
        "email": "eve@example.org",
        "realm_access": {"roles": roles},
        "iat": time.time(),
        "exp": time.time() + 600,
    }
    return issuer.sign(claims | more, key_id)


def _ask(house: House, token: str) -> httpx.Response:
    return httpx.get(
        f"{house.url}/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}, timeout=10.0
    )


def test_people_of_an_issuer_come_in_with_the_role_that_their_token_says(
    house_of_issuer: House, issuer: JwksServer
) -> None:
    house = house_of_issuer
    me = _ask(house, _token(issuer, "first", ["fleet-staff", "offline_access"])).json()
    assert (me["account"]["email"], me["account"]["role"]) == ("eve@example.org", "operator")
    refused = _ask(house, _token(issuer, "first", ["something-else"]))
    assert refused.status_code == 403
    assert "FLEETWIRE_JWT_ROLES" in refused.json()["detail"]
    refused = _ask(house, _token(issuer, "first", ["fleet-admin"], aud="another"))
    assert refused.status_code == 401
    assert "FLEETWIRE_JWT_AUDIENCE" in refused.json()["detail"]
    assert issuer.requests == 1
    issuer.keys["second"] = SECOND
    refused = _ask(house, _token(issuer, "second", ["fleet-admin"]))
    assert refused.status_code == 401  # new keys are looked for ten seconds after the last time
    assert "'second'" in refused.json()["detail"]
    house.stop()
    house.start()
    raised = _ask(house, _token(issuer, "second", ["fleet-admin"])).json()
    assert (raised["account"]["id"], raised["account"]["role"]) == (
        me["account"]["id"],
        "administrator",
    )
