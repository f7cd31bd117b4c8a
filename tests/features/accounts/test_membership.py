"""People in several organisations: each token is for one, and what ends, ends at once."""

import jwt
import pytest

from fleetwire.errors import ConflictError, ForbiddenError, NotFoundError, UnauthenticatedError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.features.accounts.invitations import INVITATION_LIFE_US, Invitations
from fleetwire.features.accounts.password_resets import RESET_LIFE_US, PasswordResets
from fleetwire.features.accounts.tokens import AccessTokens
from fleetwire.kit import Caller
from tests.fakes import FakeDownlink
from tests.features.accounts.conftest import HERE, PASSWORD, SECRET, People

ANOTHER = "quite another password"


@pytest.fixture
def invitations(people: People) -> Invitations:
    return Invitations(people.db, people.audit, people.accounts, people.clock)


def resets_of(people: People) -> PasswordResets:
    return PasswordResets(people.db, people.audit, people.accounts, people.clock)


async def second(people: People) -> Caller:
    """Make a second organisation and return its owner there."""
    owner = await people.owner()
    id = await people.accounts.create_organization(owner, "Ward 4")
    tokens = await people.accounts.switch(owner, id)
    return await people.accounts.authenticate_token(tokens.access_token, HERE)


async def joined(people: People, invitations: Invitations, role: str = "operator") -> Caller:
    """Let Ann, a viewer of the first organisation, join the second; return its owner."""
    there = await second(people)
    await people.add("ann")
    _, token = await invitations.create(there, "ann@example.org", role)
    await invitations.accept(token, username="", full_name="", password=PASSWORD, remote=HERE)
    return there


async def test_a_login_is_for_one_organisation_with_the_role_there(
    people: People, invitations: Invitations
) -> None:
    there = await joined(people, invitations)
    for id, role in ((None, "viewer"), (1, "viewer"), (there.organization_id, "operator")):
        tokens = await people.accounts.login("ann", PASSWORD, HERE, organization_id=id)
        for each in (tokens, await people.accounts.refresh(tokens.refresh_token, HERE)):
            ann = await people.accounts.authenticate_token(each.access_token, HERE)
            assert (ann.organization_id, ann.role) == (id or 1, role)
    with pytest.raises(ForbiddenError, match="do not belong"):
        await people.accounts.login("ann", PASSWORD, HERE, organization_id=99)
    with pytest.raises(ForbiddenError, match="do not belong"):
        await people.accounts.switch(ann, 99)


async def test_places_are_known_after_a_restart(people: People, invitations: Invitations) -> None:
    there = await joined(people, invitations)
    again = people.open_accounts()
    assert await again.bootstrap() is None
    tokens = await again.login("ann", PASSWORD, HERE, organization_id=there.organization_id)
    ann = await again.authenticate_token(tokens.access_token, HERE)
    assert [role for _, role in await again.organizations_of(ann)] == ["viewer", "operator"]


async def test_members_of_another_organisation_do_not_exist_here(people: People) -> None:
    there = await second(people)
    ann = await people.add("ann")
    assert [each.id for each in (await people.accounts.list(there)).items] == [there.account_id]
    for work in (
        people.accounts.get(there, ann.id),
        people.accounts.update(there, ann.id, role="owner"),
        people.accounts.remove_member(there, ann.id),
    ):
        with pytest.raises(NotFoundError):
            await work


async def test_one_organisation_cannot_take_over_who_works_in_another(
    people: People, invitations: Invitations
) -> None:
    there = await joined(people, invitations)
    ann = people.accounts.by_email("ann@example.org")
    assert ann is not None
    with pytest.raises(ForbiddenError, match="other organisations"):
        await people.accounts.update(there, ann.id, password=ANOTHER)
    with pytest.raises(ForbiddenError, match="other organisations"):
        await people.accounts.update(there, ann.id, email="mine@example.org")
    with pytest.raises(ForbiddenError, match="other organisations"):
        await resets_of(people).create(there, ann.id)
    changed = await people.accounts.update(there, ann.id, role="administrator")
    assert changed.role == "administrator"
    assert (await people.accounts.get(await people.owner(), ann.id)).role == "viewer"


async def test_a_membership_that_ends_ends_its_tokens_and_no_others(
    people: People, invitations: Invitations
) -> None:
    there = await joined(people, invitations)
    here = await people.accounts.login("ann", PASSWORD, HERE)
    gone = await people.accounts.login("ann", PASSWORD, HERE, organization_id=there.organization_id)
    await people.accounts.remove_member(there, here.account.id)
    with pytest.raises(UnauthenticatedError, match="any more"):
        await people.accounts.authenticate_token(gone.access_token, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(gone.refresh_token, HERE)
    assert await people.accounts.authenticate_token(here.access_token, HERE)
    assert await people.accounts.refresh(here.refresh_token, HERE)
    with pytest.raises(ConflictError, match="close the account"):
        await people.accounts.remove_member(await people.owner(), here.account.id)


async def test_the_last_owner_of_an_organisation_stays_in_it(people: People) -> None:
    there = await second(people)
    with pytest.raises(ConflictError, match="last owner"):
        await people.accounts.remove_member(there, there.account_id)


async def test_only_owners_of_the_first_organisation_make_others(people: People) -> None:
    there = await second(people)
    with pytest.raises(ForbiddenError, match="first organisation"):
        await people.accounts.create_organization(there, "Ward 5")
    await people.add("ann", "administrator")
    with pytest.raises(ForbiddenError):
        await people.accounts.create_organization(await people.caller("ann"), "Ward 5")
    with pytest.raises(ConflictError):
        await people.accounts.create_organization(await people.owner(), "Ward 4")


async def test_access_tokens_end_with_the_password(people: People) -> None:
    await people.add("ann")
    old = (await people.accounts.login("ann", PASSWORD, HERE)).access_token
    await people.accounts.change_password(await people.caller("ann"), PASSWORD, ANOTHER)
    with pytest.raises(UnauthenticatedError, match="Sign in again"):
        await people.accounts.authenticate_token(old, HERE)
    new = (await people.accounts.login("ann", ANOTHER, HERE)).access_token
    again = people.open_accounts()
    await again.bootstrap()
    with pytest.raises(UnauthenticatedError, match="Sign in again"):  # also after a restart
        await again.authenticate_token(old, HERE)
    assert await again.authenticate_token(new, HERE)


async def test_an_invitation_makes_an_account_once(
    people: People, invitations: Invitations
) -> None:
    owner = await people.owner()
    made, token = await invitations.create(owner, "Bob@Example.org", "operator")
    who = {"username": "bob", "full_name": "Bob", "password": PASSWORD, "remote": HERE}
    bob = await invitations.accept(token, **who)
    assert (bob.email, bob.role, bob.organization_id) == ("bob@example.org", "operator", 1)
    assert (await people.caller("bob")).role == "operator"
    with pytest.raises(UnauthenticatedError):
        await invitations.accept(token, **who)
    (listed,) = (await invitations.list(owner)).items
    assert listed.accepted_at == people.clock()
    with pytest.raises(ConflictError):
        await invitations.revoke(owner, made.id)


async def test_an_invitation_that_is_revoked_or_old_is_refused(
    people: People, invitations: Invitations
) -> None:
    owner = await people.owner()
    who = {"username": "bob", "full_name": "", "password": PASSWORD, "remote": HERE}
    made, revoked = await invitations.create(owner, "bob@example.org", "viewer")
    await invitations.revoke(owner, made.id)
    _, old = await invitations.create(owner, "bob@example.org", "viewer")
    people.clock.advance(INVITATION_LIFE_US / 1e6)
    for token in (revoked, old, "unknown"):
        with pytest.raises(UnauthenticatedError):
            await invitations.accept(token, **who)
    assert people.accounts.by_email("bob@example.org") is None


async def test_who_has_an_account_joins_with_its_password_only(
    people: People, invitations: Invitations
) -> None:
    there = await second(people)
    await people.add("ann")
    _, token = await invitations.create(there, "ann@example.org", "viewer")
    with pytest.raises(UnauthenticatedError):
        await invitations.accept(token, username="", full_name="", password=ANOTHER, remote=HERE)
    assert len((await people.accounts.list(there)).items) == 1


async def test_nobody_invites_above_himself_or_into_another_organisation(
    people: People, invitations: Invitations
) -> None:
    await people.add("ann", "administrator")
    ann = await people.caller("ann")
    with pytest.raises(ForbiddenError):
        await invitations.create(ann, "bob@example.org", "owner")
    made, _ = await invitations.create(ann, "bob@example.org", "viewer")
    with pytest.raises(NotFoundError):
        await invitations.revoke(await second(people), made.id)


async def test_a_reset_token_sets_a_password_once_and_ends_all_logins(
    people: People, invitations: Invitations
) -> None:
    ann = await people.add("ann")
    old = await people.accounts.login("ann", PASSWORD, HERE)
    token, _ = await resets_of(people).create(await people.owner(), ann.id)
    await resets_of(people).reset(token, ANOTHER, HERE)
    for refused in (
        people.accounts.authenticate_token(old.access_token, HERE),
        people.accounts.refresh(old.refresh_token, HERE),
        people.accounts.login("ann", PASSWORD, HERE),
        resets_of(people).reset(token, PASSWORD, HERE),
    ):
        with pytest.raises(UnauthenticatedError):
            await refused
    assert await people.accounts.login("ann", ANOTHER, HERE)


async def test_a_reset_token_expires_and_a_newer_one_ends_it(
    people: People, invitations: Invitations
) -> None:
    ann = await people.add("ann")
    first, _ = await resets_of(people).create(await people.owner(), ann.id)
    newer, _ = await resets_of(people).create(await people.owner(), ann.id)
    with pytest.raises(UnauthenticatedError):
        await resets_of(people).reset(first, ANOTHER, HERE)
    people.clock.advance(RESET_LIFE_US / 1e6)
    with pytest.raises(UnauthenticatedError):
        await resets_of(people).reset(newer, ANOTHER, HERE)


async def test_guessing_from_many_addresses_is_slowed_too(people: People) -> None:
    await people.add("ann")
    for number in range(50):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.login("ann", "wrong", f"192.0.2.{number}")
    with pytest.raises(TooManyAttemptsError):
        await people.accounts.login("ann", PASSWORD, "198.51.100.1")
    people.waits += 1
    assert await people.accounts.login("ann", PASSWORD, "198.51.100.1")


async def test_a_key_has_its_permissions_over_http_until_it_ends(people: People) -> None:
    keys = ApiKeys(people.db, people.audit, FakeDownlink(), people.clock)
    owner = await people.owner()
    made = await keys.create(
        owner, name="exporter", publish=[], subscribe=[], permissions=["device.read"]
    )
    asks = keys.authenticate(made.token, HERE)
    assert asks.permissions == {"device.read"}
    assert (asks.organization_id, asks.account_id) == (1, 0)
    again = ApiKeys(people.db, people.audit, FakeDownlink(), people.clock)
    await again.load()
    assert again.authenticate(made.token, HERE) == asks
    with pytest.raises(ForbiddenError):
        await people.accounts.switch(asks, 1)
    await keys.revoke(owner, made.key.id)
    for token in (made.token, "fwk_unknown"):
        with pytest.raises(UnauthenticatedError):
            keys.authenticate(token, HERE)


@pytest.mark.parametrize("permission", ["account.manage", "key.write", "no.such"])
async def test_a_key_manages_neither_people_nor_keys(people: People, permission: str) -> None:
    keys = ApiKeys(people.db, people.audit, FakeDownlink(), people.clock)
    with pytest.raises(Exception, match=permission):
        await keys.create(
            await people.owner(), name="x", publish=[], subscribe=["a"], permissions=[permission]
        )


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"iss": "https://id.example", "aud": "fleet"}, None),
        ({"iss": "https://id.example", "aud": ["other", "fleet"]}, None),
        ({"iss": "https://id.example", "aud": "fleets"}, "somebody else"),
        ({"iss": "https://id.example"}, "somebody else"),
        ({"iss": "https://evil.example", "aud": "fleet"}, "another issuer"),
        ({"aud": "fleet"}, "another issuer"),
    ],
)
async def test_others_tokens_say_for_whom_and_from_whom_they_are(
    people: People, said: dict[str, object], refused: str | None
) -> None:
    tokens = AccessTokens(SECRET, None, people.clock, audience="fleet", issuer="https://id.example")
    claims = {"email": "ann@example.org", "exp": people.clock() // 1_000_000 + 60, **said}
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    if refused is None:
        assert (await tokens.verify(token)).email == "ann@example.org"
        return
    with pytest.raises(UnauthenticatedError, match=refused):
        await tokens.verify(token)


async def test_our_own_tokens_need_no_audience(people: People) -> None:
    tokens = AccessTokens(SECRET, None, people.clock, audience="fleet", issuer="https://id.example")
    ann = await people.add("ann")
    assert (await tokens.verify(tokens.issue(ann, 0, "a login"))).account_id == ann.id
