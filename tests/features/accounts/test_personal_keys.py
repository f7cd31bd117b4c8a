"""Keys of people's own: never more than their person, gone with him."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.broker.grants import Grant
from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.accounts import api_keys, personal_keys
from fleetwire.features.accounts.api_keys import ApiKeys, NewApiKey
from fleetwire.features.accounts.invitations import Invitations
from fleetwire.features.accounts.key_grants import KeyGrants
from fleetwire.features.accounts.personal_key_endpoints import router
from fleetwire.features.accounts.personal_keys import PersonalKeys
from fleetwire.kit import Caller
from fleetwire.net.authenticator import Offer, RefusedError
from tests.fakes import FakeDownlink
from tests.features.accounts.conftest import HERE, People
from tests.features.http import serving


class Keys:
    """Keys of people, and what a test needs around them."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.ended: list[str] = []
        self.downlink = FakeDownlink()
        self.downlink.disconnect_identity = self._end  # type: ignore[method-assign]  # a fake's
        self.ring = self.open()
        self.own = PersonalKeys(self.ring)
        people.accounts.watchers.append(self.ring.person_changed)
        people.accounts.leavers.append(self.ring.person_left)

    def _end(self, identity: str, reason: str) -> int:
        self.ended.append(identity)
        return 1

    def open(self) -> ApiKeys:
        """Return ApiKeys as after a start."""
        people = self.people
        return ApiKeys(
            people.db,
            people.audit,
            self.downlink,
            people.clock,
            find_person=people.accounts.caller_of,
        )

    async def make(self, caller: Caller, *permissions: str, name: str = "laptop") -> NewApiKey:
        return await self.own.create(caller, name=name, permissions=permissions or ["device.read"])


@pytest.fixture
async def keys(people: People) -> Keys:
    await people.add("ann", "operator")
    return Keys(people)


async def test_a_key_is_its_person_with_fewer_rights(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    made = await keys.make(ann, "device.read", "telemetry.read")
    asks = keys.ring.authenticate(made.token, HERE)
    assert asks.permissions == {"device.read", "telemetry.read"}
    assert (asks.actor, asks.account_id) == (f"key:{made.key.id}/laptop", ann.account_id)
    assert (asks.email, asks.organization_id, asks.remote) == (ann.email, 1, HERE)


async def test_a_key_follows_its_persons_role_down_and_up(keys: Keys) -> None:
    people = keys.people
    ann = await people.caller("ann")
    made = await keys.make(ann, "device.read", "command.send")
    owner = await people.owner()
    await people.accounts.update(owner, ann.account_id, role="viewer")
    assert keys.ring.authenticate(made.token, HERE).permissions == {"device.read"}
    assert keys.ended == [f"key:{made.key.id}/laptop"]
    await people.accounts.update(owner, ann.account_id, role="operator")
    assert keys.ring.authenticate(made.token, HERE).permissions == {"device.read", "command.send"}


async def test_a_higher_role_does_not_widen_a_key(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    made = await keys.make(ann, "device.read")
    await keys.people.accounts.update(await keys.people.owner(), ann.account_id, role="owner")
    assert keys.ring.authenticate(made.token, HERE).permissions == {"device.read"}


@pytest.mark.parametrize("how", ["closed", "erased"])
async def test_a_key_ends_with_its_persons_account(keys: Keys, how: str) -> None:
    people = keys.people
    ann = await people.caller("ann")
    made = await keys.make(ann)
    owner = await people.owner()
    if how == "closed":
        await people.accounts.deactivate(owner, ann.account_id)
    else:
        await people.accounts.erase(owner, ann.account_id)
    with pytest.raises(UnauthenticatedError):
        keys.ring.authenticate(made.token, HERE)
    assert f"key:{made.key.id}/laptop" in keys.ended


async def test_a_key_ends_with_its_persons_membership(keys: Keys) -> None:
    people = keys.people
    owner = await people.owner()
    there_id = await people.accounts.create_organization(owner, "Ward 4")
    switched = await people.accounts.switch(owner, there_id)
    there = await people.accounts.authenticate_token(switched.access_token, HERE)
    invitations = Invitations(people.db, people.audit, people.accounts, people.clock)
    _, token = await invitations.create(there, "ann@example.org", "operator")
    await invitations.accept(
        token,
        username="",
        full_name="",
        password="correct horse battery staple",
        remote=HERE,
    )
    tokens = await people.accounts.login(
        "ann", "correct horse battery staple", HERE, organization_id=there_id
    )
    made = await keys.make(await people.accounts.authenticate_token(tokens.access_token, HERE))
    here = await keys.make(await people.caller("ann"))
    await people.accounts.remove_member(there, tokens.account.id)
    assert keys.ring.authenticate(here.token, HERE).organization_id == 1
    _, token = await invitations.create(there, "ann@example.org", "operator")  # he comes back
    await invitations.accept(
        token,
        username="",
        full_name="",
        password="correct horse battery staple",
        remote=HERE,
    )
    again = keys.open()
    await again.load()
    for ring in (keys.ring, again):
        with pytest.raises(UnauthenticatedError, match="revoked"):
            ring.authenticate(made.token, HERE)


async def test_another_password_does_not_end_a_key(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    made = await keys.make(ann)
    await keys.people.accounts.change_password(
        ann, "correct horse battery staple", "another long password"
    )
    assert keys.ring.authenticate(made.token, HERE).account_id == ann.account_id


async def test_a_key_manages_no_keys_and_changes_no_password(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    made = await keys.make(ann)
    asks = keys.ring.authenticate(made.token, HERE)
    with pytest.raises(ForbiddenError):
        await keys.make(asks, name="another")
    with pytest.raises(ForbiddenError):
        await keys.own.list(asks)
    with pytest.raises(ForbiddenError):
        await keys.own.revoke(asks, made.key.id)
    with pytest.raises(ForbiddenError):
        await keys.people.accounts.switch(asks, 1)
    with pytest.raises(ForbiddenError):
        await keys.people.accounts.change_password(asks, "x", "another long password")


async def test_nobody_gives_a_key_what_he_may_not_do_or_what_is_for_people(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    with pytest.raises(ForbiddenError):
        await keys.make(ann, "device.write")
    for permission in ("account.manage", "key.write", "no.such"):
        with pytest.raises(InvalidValueError) as refused:
            await keys.make(await keys.people.owner(), permission)
        assert refused.value.field == "permissions"
    with pytest.raises(InvalidValueError):
        await keys.own.create(ann, name="x", permissions=[])


async def test_people_see_and_revoke_their_own_keys_only(keys: Keys) -> None:
    ann, owner = await keys.people.caller("ann"), await keys.people.owner()
    anns, owners = await keys.make(ann), await keys.make(owner)
    assert [key.id for key in (await keys.own.list(ann)).items] == [anns.key.id]
    with pytest.raises(NotFoundError):
        await keys.own.revoke(ann, owners.key.id)
    await keys.own.revoke(ann, anns.key.id)
    with pytest.raises(UnauthenticatedError, match="revoked"):
        keys.ring.authenticate(anns.token, HERE)
    assert keys.ended == [f"key:{anns.key.id}/laptop"]
    assert keys.ring.authenticate(owners.token, HERE)


async def test_an_administrator_sees_and_revokes_everybodys_keys(keys: Keys) -> None:
    ann, owner = await keys.people.caller("ann"), await keys.people.owner()
    made = await keys.make(ann)
    (seen,) = (await keys.ring.list(owner)).items
    assert (seen.account_id, seen.kind) == (ann.account_id, "personal")
    await keys.ring.revoke(owner, made.key.id)
    with pytest.raises(UnauthenticatedError):
        keys.ring.authenticate(made.token, HERE)


async def test_names_are_taken_per_person_and_a_revoked_keys_name_is_free(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    made = await keys.make(ann)
    await keys.make(await keys.people.owner())
    with pytest.raises(ConflictError):
        await keys.make(ann)
    await keys.own.revoke(ann, made.key.id)
    assert await keys.make(ann)


async def test_keys_and_what_is_left_of_them_are_bounded(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_keys, "MAX_OWN_KEYS", 2)
    monkeypatch.setattr(api_keys, "MAX_OVER", 2)
    ann = await keys.people.caller("ann")
    made = [await keys.make(ann, name=f"k{number}") for number in range(2)]
    with pytest.raises(TooManyError):
        await keys.make(ann, name="one-more")
    for number in range(2, 8):
        await keys.own.revoke(ann, made.pop(0).key.id)
        made.append(await keys.make(ann, name=f"k{number}"))
    assert len((await keys.own.list(ann)).items) == 4
    assert len(keys.ring._by_hash) == 4
    assert all(keys.ring.authenticate(each.token, HERE) for each in made)


async def test_keys_are_known_after_a_start_and_end_in_time(keys: Keys) -> None:
    ann = await keys.people.caller("ann")
    ends_at = keys.people.clock() + 60_000_000
    made = await keys.own.create(
        ann, name="laptop", permissions=["device.read"], expires_at=ends_at
    )
    again = keys.open()
    await again.load()
    assert again.authenticate(made.token, HERE).account_id == ann.account_id
    keys.people.clock.advance(60)
    with pytest.raises(UnauthenticatedError, match="expired"):
        again.authenticate(made.token, HERE)


async def test_over_mqtt_a_key_is_granted_what_its_person_would_be_with_those_permissions(
    keys: Keys,
) -> None:
    asked: list[tuple[Caller, int]] = []

    def grant(caller: Caller, offer: Offer, expires_at: int) -> Grant:
        asked.append((caller, expires_at))
        return Grant(caller.actor, [], [])

    grants = KeyGrants(keys.ring, keys.people.clock, grant)
    ann = await keys.people.caller("ann")
    made = await keys.make(ann, "message.read")
    offer = Offer("c", "any", made.token.encode(), HERE, False)
    assert grants.grant(offer).identity == f"key:{made.key.id}/laptop"
    ((caller, expires_at),) = asked
    assert (sorted(caller.permissions), expires_at) == (["message.read"], 0)
    await keys.people.accounts.deactivate(await keys.people.owner(), ann.account_id)
    with pytest.raises(RefusedError, match="no access"):
        grants.grant(offer)


@pytest.fixture
async def http(keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with serving([router], {PersonalKeys: keys.own}) as client:
        yield client


async def test_who_is_no_person_has_no_keys_of_his_own(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/me/keys")  # the gate of these tests knows no account
    assert answer.status_code == 403
