"""People whom another issuer speaks of: which claim says what, and who is let in."""

import asyncio
from typing import Any

import jwt
import pytest

from fleetwire.errors import DomainError, ForbiddenError, UnauthenticatedError
from fleetwire.features.accounts.outside import ClaimRules
from fleetwire.features.accounts.tokens import AccessTokens
from fleetwire.kit import Caller
from tests.features.accounts.conftest import HERE, SECRET, People

ROLES = {"fleet-admin": "administrator", "staff": "operator"}


def rule(people: People, **rules: Any) -> None:
    """Let the accounts read others' claims by these rules."""
    people.accounts._access_tokens = AccessTokens(
        SECRET, None, people.clock, claim_rules=ClaimRules(**rules)
    )


async def come(people: People, **claims: Any) -> Caller:
    """Ask with an outside token that says this."""
    body = {"iss": "https://id.example", "exp": people.clock() // 1_000_000 + 600, **claims}
    token = jwt.encode(body, SECRET, algorithm="HS256")
    return await people.accounts.authenticate_token(token, HERE)


async def refused(people: People, **claims: Any) -> str:
    with pytest.raises(ForbiddenError) as error:
        await come(people, **claims)
    return str(error.value)


# --- which claim says what ---


@pytest.mark.parametrize(
    ("rules", "claims"),
    [
        ({}, {"email": "ann@example.org"}),
        ({}, {"sub": "ann@example.org"}),
        ({}, {"sub": "ann"}),
        ({}, {"sub": "0815", "username": "ann"}),
        ({"email": "upn"}, {"upn": "ann@example.org", "email": "x@example.org"}),
        ({"username": "preferred_username"}, {"preferred_username": "Ann", "sub": "0815"}),
        ({"subject": "uid"}, {"uid": "ann", "sub": "0815"}),
        ({"email": "user.mail"}, {"user": {"mail": "ann@example.org"}}),
        (
            {"email": "https://id.example/mail"},
            {"https://id.example/mail": "ann@example.org", "sub": "x"},
        ),
    ],
)
async def test_somebody_is_found_by_the_claims_that_the_settings_name(
    people: People, rules: dict[str, str], claims: dict[str, Any]
) -> None:
    ann = await people.add("ann")
    rule(people, **rules)
    assert (await come(people, **claims)).account_id == ann.id


@pytest.mark.parametrize("value", [None, 1, [], {}, True, " ", ["ann@example.org"]])
async def test_a_claim_of_another_kind_says_nothing(people: People, value: Any) -> None:
    await people.add("ann")
    rule(people)
    assert "has no account here" in await refused(people, email=value, username=value)


# --- newcomers ---


async def test_whom_nobody_knows_is_refused_and_told_what_can_be_done(people: People) -> None:
    rule(people)
    said = await refused(people, email="eve@example.org")
    assert "'eve@example.org' has no account here" in said
    assert "FLEETWIRE_JWT_DEFAULT_ROLE" in said


async def test_a_newcomer_gets_an_account_with_the_default_role_once(people: People) -> None:
    rule(people, default_role="viewer")
    claims = {"email": "Eve@example.org", "name": "Eve Example", "sub": "0815"}
    callers = await asyncio.gather(*(come(people, **claims) for _ in range(5)))
    assert len({caller.account_id for caller in callers}) == 1
    account = await people.accounts.get(await people.owner(), callers[0].account_id)
    assert (account.email, account.username, account.role) == ("eve@example.org", "eve", "viewer")
    assert account.full_name == "Eve Example"
    row = (await people.audited("account.created"))[-1]
    assert row["actor"] == "issuer"
    assert "0815" in str(row["detail"])
    with pytest.raises(UnauthenticatedError):
        await people.accounts.login("eve", "", HERE)


async def test_the_default_role_does_not_touch_who_has_one(people: People) -> None:
    await people.add("ann", "operator")
    rule(people, default_role="viewer")
    assert (await come(people, email="ann@example.org")).role == "operator"


async def test_a_newcomer_does_not_become_somebody_who_has_his_user_name(people: People) -> None:
    ann = await people.add("ann", email="ann@elsewhere.example")
    rule(people, default_role="viewer")
    for number, name in enumerate(["ann-2", "ann-3"]):
        caller = await come(people, email=f"ann@{number}.example")
        assert caller.username == name
        assert caller.account_id != ann.id


@pytest.mark.parametrize("said", ["Ünïcode Näme", "a b", "---", "a" * 90])
async def test_a_user_name_is_made_of_whatever_a_token_says(people: People, said: str) -> None:
    rule(people, default_role="viewer")
    caller = await come(people, email="eve@example.org", username=said)
    assert 1 <= len(caller.username) <= 128
    assert caller.username.isascii()


async def test_who_says_no_name_that_can_be_one_is_told_which_claims_do(people: People) -> None:
    rule(people, default_role="viewer")
    assert "FLEETWIRE_JWT_EMAIL_CLAIM" in await refused(people, sub="auth0|4711")
    assert "FLEETWIRE_JWT_USERNAME_CLAIM" in await refused(people)


async def test_a_closed_account_is_not_let_in_again(people: People) -> None:
    rule(people, default_role="viewer")
    eve = await come(people, email="eve@example.org")
    await people.accounts.deactivate(await people.owner(), eve.account_id)
    with pytest.raises(UnauthenticatedError, match="closed"):
        await come(people, email="eve@example.org")


# --- roles ---


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ("staff", "operator"),
        (["staff", "fleet-admin", "other"], "administrator"),
        (["other", "staff"], "operator"),
    ],
)
async def test_a_role_is_what_the_value_stands_for_of_several_the_highest(
    people: People, said: Any, role: str
) -> None:
    rule(people, role="realm_access.roles", roles=ROLES)
    caller = await come(people, email="eve@example.org", realm_access={"roles": said})
    assert caller.role == role


async def test_without_a_mapping_roles_are_called_as_ours(people: People) -> None:
    rule(people, role="role")
    assert (await come(people, email="eve@example.org", role="operator")).role == "operator"


@pytest.mark.parametrize(
    ("claims", "shown"),
    [({"role": "nobody"}, "'nobody'"), ({}, "missing"), ({"role": 1}, "1"), ({"role": []}, "[]")],
)
async def test_what_stands_for_no_role_is_refused_and_told_how_to_map_it(
    people: People, claims: dict[str, Any], shown: str
) -> None:
    await people.add("ann")
    rule(people, role="role", roles=ROLES)
    said = await refused(people, email="ann@example.org", **claims)
    assert f"claim 'role' is {shown}, which stands for no role" in said
    assert "FLEETWIRE_JWT_ROLES" in said
    rule(people, role="role", roles=ROLES, default_role="viewer")
    assert (await come(people, email="ann@example.org", **claims)).role == "viewer"


async def test_a_newer_token_with_another_role_changes_it_for_the_older_ones_too(
    people: People,
) -> None:
    ann = await people.add("ann", "operator")
    told: list[int] = []
    people.accounts.watchers.append(lambda account_id, reason: told.append(account_id))
    rule(people, role="role", roles=ROLES)
    first = {"email": "ann@example.org", "role": "fleet-admin", "iat": 1_000}
    second = {"email": "ann@example.org", "role": "staff", "iat": 2_000}
    assert (await come(people, **first)).role == "administrator"
    assert (await come(people, **second)).role == "operator"
    assert (await come(people, **first)).role == "operator"
    assert told == [ann.id, ann.id]
    rule(people)
    owner = await people.owner()
    assert (await people.accounts.get(owner, ann.id)).role == "operator"


async def test_the_last_owner_stays_one_whatever_his_token_says(people: People) -> None:
    rule(people, role="role", roles=ROLES)
    admin = {"email": "admin@fleetwire.local", "role": "staff"}
    assert (await come(people, **admin)).role == "owner"
    assert (await come(people, **admin)).role == "owner"


# --- organisations ---


async def second(people: People) -> int:
    return await people.accounts.create_organization(await people.owner(), "Ward 4")


@pytest.mark.parametrize("by", ["name", "number", "text"])
async def test_a_newcomer_comes_into_the_organisation_that_the_token_names(
    people: People, by: str
) -> None:
    id = await second(people)
    rule(people, organization="tenant", default_role="viewer")
    said: Any = {"name": "Ward 4", "number": id, "text": str(id)}[by]
    caller = await come(people, email="eve@example.org", tenant=said)
    assert (caller.organization_id, caller.role) == (id, "viewer")


async def test_somebody_known_joins_the_organisation_that_the_token_names(people: People) -> None:
    ann = await people.add("ann", "operator")
    id = await second(people)
    rule(people, organization="tenant", default_role="viewer")
    callers = await asyncio.gather(
        *(come(people, email="ann@example.org", tenant="Ward 4") for _ in range(3))
    )
    assert {(each.account_id, each.organization_id, each.role) for each in callers} == {
        (ann.id, id, "viewer")
    }
    here = await come(people, email="ann@example.org", tenant=1)
    assert (here.organization_id, here.role) == (1, "operator")


async def test_without_a_role_nobody_joins_by_his_token(people: People) -> None:
    await people.add("ann")
    await second(people)
    rule(people, organization="tenant")
    assert "do not belong" in await refused(people, email="ann@example.org", tenant="Ward 4")
    assert (await come(people, email="ann@example.org", tenant="Default")).organization_id == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Ward 5", "organisation 'Ward 5', which is not here"),
        ("9" * 30, "which is not here"),
        (None, "FLEETWIRE_JWT_ORGANIZATION_CLAIM"),
        ("", "names no organisation"),
        ([1], "names no organisation"),
        (True, "names no organisation"),
    ],
)
async def test_an_organisation_that_is_none_is_refused(
    people: People, said: Any, told: str
) -> None:
    rule(people, organization="tenant", default_role="viewer")
    assert told in await refused(people, email="eve@example.org", tenant=said)


async def test_of_several_organisations_a_newcomers_token_must_name_one(people: People) -> None:
    await second(people)
    rule(people, default_role="viewer")
    assert "FLEETWIRE_JWT_ORGANIZATION_CLAIM" in await refused(people, email="eve@example.org")


async def test_no_claims_whatever_they_are_break_the_house(people: People) -> None:
    rule(people, organization="org", role="a.b", default_role="viewer", email="e.f")
    odd: list[Any] = [None, 0, -1, 1e308, True, "", "\x00", "a" * 5000, [], [[]], {}, {"b": [{}]}]
    for value in odd:
        for name in ("org", "a", "e", "sub", "username", "name", "iat"):
            try:
                await come(people, **{"sub": "eve", "org": 1, name: value})
            except DomainError:
                continue
    assert (await people.accounts.login("admin", people.first[1], HERE)).account.role == "owner"
