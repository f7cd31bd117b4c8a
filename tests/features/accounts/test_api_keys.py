"""Keys of services: made once, shown once, revoked at once."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
)
from fleetwire.features.accounts import api_keys
from fleetwire.features.accounts.api_key_endpoints import router
from fleetwire.features.accounts.api_keys import ApiKeys, NewApiKey
from fleetwire.features.accounts.key_grants import KeyGrants
from fleetwire.kit import Caller
from fleetwire.net.authenticator import Offer, RefusedError
from tests.fakes import FakeDownlink, caller
from tests.features.accounts.conftest import People
from tests.features.http import serving


class Keys:
    """Keys, and what a test needs around them."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.downlink = FakeDownlink()
        self.ended: list[tuple[str, str]] = []
        self.downlink.disconnect_identity = self._end  # type: ignore[method-assign]  # a fake's
        self.service = self.open()

    def _end(self, identity: str, reason: str) -> int:
        self.ended.append((identity, reason))
        return 1

    def open(self) -> ApiKeys:
        """Return ApiKeys as after a start."""
        return ApiKeys(self.people.db, self.people.audit, self.downlink, self.people.clock)

    async def make(self, name: str = "exporter", **more: Any) -> NewApiKey:
        rights = {"publish": ["in/{client_id}/#"], "subscribe": ["devices/+/data"]}
        return await self.service.create(await self.owner(), name=name, **(rights | more))

    async def owner(self) -> Caller:
        return await self.people.owner()

    def grants(self, service: ApiKeys | None = None) -> KeyGrants:
        return KeyGrants(service or self.service, self.people.clock)


def offer(token: str, *, username: str | None = "any", client_id: str = "reader") -> Offer:
    return Offer(client_id, username, token.encode(), "192.0.2.7:1", False)


@pytest.fixture
def keys(people: People) -> Keys:
    return Keys(people)


async def test_a_key_grants_what_it_was_made_with_whatever_the_user_name(keys: Keys) -> None:
    made = await keys.make()
    assert made.token.startswith("fwk_")
    for username in ("exporter", "any", None):
        grant = keys.grants().grant(offer(made.token, username=username))
        assert grant.identity == f"key:{made.key.id}/exporter"
        assert grant.may_subscribe("devices/+/data")
        assert not grant.may_subscribe("devices/#")
        assert grant.may_publish("in/reader/x")
        assert not grant.may_publish("in/other/x")
        assert grant.organization_id == 1
        assert grant.device == 0


async def test_a_client_id_does_not_widen_the_rights_of_a_key(keys: Keys) -> None:
    made = await keys.make()
    grant = keys.grants().grant(offer(made.token, client_id="#"))
    assert grant.publish == []
    assert grant.subscribe == ["devices/+/data"]


async def test_keys_are_known_after_a_restart_and_never_stored_as_they_are(keys: Keys) -> None:
    made = await keys.make()
    later = keys.open()
    await later.load()
    assert keys.grants(later).grant(offer(made.token)).identity == f"key:{made.key.id}/exporter"
    await keys.people.db.close()
    stored = b"".join(path.read_bytes() for path in keys.people.path.parent.iterdir())
    assert b"exporter" in stored
    assert made.token.encode() not in stored


async def test_only_what_looks_like_a_key_is_taken_for_one(keys: Keys) -> None:
    grants = keys.grants()
    assert grants.is_for(offer("fwk_x"))
    assert not grants.is_for(offer("0" * 64))
    assert not grants.is_for(Offer("c", None, None, "", True))


@pytest.mark.parametrize("token", ["fwk_", "fwk_wrong", "fwk_\udcff"])
async def test_an_unknown_key_is_refused(keys: Keys, token: str) -> None:
    await keys.make()
    wrong = Offer("c", "u", token.encode(errors="surrogateescape"), "", True)
    with pytest.raises(RefusedError, match="wrong user name or password") as error:
        keys.grants().grant(wrong)
    assert error.value.reason_code == 0x86


async def test_an_expired_key_is_refused_as_such(keys: Keys) -> None:
    made = await keys.make(expires_at=keys.people.clock() + 60_000_000)
    assert keys.grants().grant(offer(made.token)).expires_at == made.key.expires_at
    keys.people.clock.advance(60)
    with pytest.raises(RefusedError, match="key expired") as error:
        keys.grants().grant(offer(made.token))
    assert error.value.reason_code == 0x87


async def test_revoking_closes_connections_and_is_done_once(keys: Keys) -> None:
    made = await keys.make()
    owner = await keys.owner()
    await keys.service.revoke(owner, made.key.id)
    assert keys.ended == [(f"key:{made.key.id}/exporter", "revoked")]
    (before,) = (await keys.service.list(owner)).items
    keys.people.clock.advance(5)
    await keys.service.revoke(owner, made.key.id)
    (after,) = (await keys.service.list(owner)).items
    assert after.revoked_at == before.revoked_at
    later = keys.open()
    await later.load()
    for service in (keys.service, later):
        with pytest.raises(RefusedError, match="key revoked"):
            keys.grants(service).grant(offer(made.token))


async def test_a_name_is_taken_as_long_as_its_key_can_be_used(keys: Keys) -> None:
    made = await keys.make()
    with pytest.raises(ConflictError, match="name already"):
        await keys.make()
    await keys.service.revoke(await keys.owner(), made.key.id)
    again = await keys.make()
    assert again.key.id > made.key.id
    assert again.token != made.token


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"name": ""}, "name must have"),
        ({"name": "a/b"}, "name must have"),
        ({"name": "x" * 65}, "name must have"),
        ({"publish": ["a/#/b"]}, "publish"),
        ({"publish": ["$SYS/x"]}, r"begin with \$"),
        ({"subscribe": [""]}, "subscribe"),
        ({"subscribe": ["$share/g/a"]}, "shared"),
        ({"subscribe": ["a/x{b}"]}, "whole level"),
        ({"subscribe": ["a"] * 65}, "more than 64"),
        ({"subscribe": ["a" * 513]}, "more than 512"),
        ({"publish": [], "subscribe": []}, "something to publish or subscribe"),
        ({"expires_at": 1}, "passed already"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(
    keys: Keys, fault: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidValueError, match=text):
        await keys.make(**fault)


async def test_there_is_a_bound_to_keys(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_KEYS", 2)
    await keys.make("a")
    await keys.make("b")
    with pytest.raises(TooManyError):
        await keys.make("c")


async def test_where_there_are_several_organisations_a_key_stays_inside_its_own(
    keys: Keys,
) -> None:
    query = text("INSERT INTO organizations (name, created_at) VALUES ('Other', 1)")
    await keys.people.db.write(lambda tx: tx.execute(query))
    with pytest.raises(InvalidValueError, match="other organisations"):
        await keys.make()
    made = await keys.make(publish=[], subscribe=["o/{organization}/#"])
    assert keys.grants().grant(offer(made.token)).subscribe == ["o/1/#"]


async def test_keys_are_for_administrators_of_the_organisation(keys: Keys) -> None:
    await keys.people.add("ann", "operator")
    await keys.people.add("bob", "administrator")
    ann, bob = await keys.people.caller("ann"), await keys.people.caller("bob")
    with pytest.raises(ForbiddenError):
        await keys.service.create(ann, name="x", publish=[], subscribe=["a"])
    with pytest.raises(ForbiddenError):
        await keys.service.list(ann)
    made = await keys.service.create(bob, name="x", publish=[], subscribe=["a"])
    with pytest.raises(ForbiddenError):
        await keys.service.revoke(ann, made.key.id)
    stranger = caller(2, permissions=frozenset({"key.read", "key.write"}))
    assert (await keys.service.list(stranger)).items == []
    with pytest.raises(NotFoundError):
        await keys.service.revoke(stranger, made.key.id)


async def test_last_use_is_stored_and_deeds_are_on_record(keys: Keys) -> None:
    made = await keys.make()
    keys.grants().grant(offer(made.token))
    await keys.service.flush()
    owner = await keys.owner()
    (key,) = (await keys.service.list(owner)).items
    assert key.last_used_at == keys.people.clock()
    assert key.created_by == owner.actor
    await keys.service.revoke(owner, made.key.id)
    for action in ("key.created", "key.revoked"):
        (record,) = await keys.people.audited(action)
        assert record["subject"] == f"key:{made.key.id}"
        assert made.token not in str(record)


# --- over HTTP ---


@pytest.fixture
async def http(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    allowed = frozenset({"key.read", "key.write"})
    monkeypatch.setattr("tests.features.http.caller", lambda id: caller(id, permissions=allowed))
    async with serving([router], {ApiKeys: keys.service}) as client:
        yield client


async def test_keys_over_http_show_their_token_once(http: httpx.AsyncClient) -> None:
    body = {"name": "exporter", "subscribe": ["devices/+/data"], "expires_at": "2099-01-01"}
    made = await http.post("/api/v1/api-keys", json=body)
    assert made.status_code == 201
    token = made.json()["token"]
    listed = await http.get("/api/v1/api-keys")
    assert listed.json()["items"] == [made.json()["key"]]
    assert token not in listed.text
    assert (await http.post("/api/v1/api-keys", json=body)).status_code == 409
    assert (await http.post("/api/v1/api-keys", json={"name": "x"})).status_code == 422
    path = f"/api/v1/api-keys/{made.json()['key']['id']}"
    assert (await http.delete(path)).status_code == 204
    (key,) = (await http.get("/api/v1/api-keys")).json()["items"]
    assert key["revoked_at"] is not None
    assert (await http.delete("/api/v1/api-keys/99")).status_code == 404


async def test_a_long_list_of_keys_comes_in_pages(http: httpx.AsyncClient) -> None:
    for name in "abc":
        await http.post("/api/v1/api-keys", json={"name": name, "subscribe": ["x"]})
    first = (await http.get("/api/v1/api-keys?limit=2")).json()
    rest = (await http.get(f"/api/v1/api-keys?limit=2&cursor={first['next_cursor']}")).json()
    assert [key["name"] for key in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
