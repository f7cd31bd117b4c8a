"""Invitations and new passwords outlive neither who gave them nor what came after."""

import pytest

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.invitations import Invitations
from fleetwire.features.accounts.password_resets import PasswordResets
from tests.features.accounts.conftest import HERE, PASSWORD, People

ANOTHER = "quite another password"


@pytest.fixture
def invitations(people: People) -> Invitations:
    return Invitations(people.db, people.audit, people.accounts, people.clock)


@pytest.fixture
def resets(people: People) -> PasswordResets:
    return PasswordResets(people.db, people.audit, people.accounts, people.clock)


@pytest.mark.parametrize("how", ["closed", "erased", "viewer", "operator"])
async def test_an_invitation_ends_with_the_right_of_who_gave_it(
    people: People, invitations: Invitations, how: str
) -> None:
    boss = await people.add("boss", "administrator")
    _, token = await invitations.create(
        await people.caller("boss"), "bob@example.org", "administrator"
    )
    owner = await people.owner()
    if how == "closed":
        await people.accounts.deactivate(owner, boss.id)
    elif how == "erased":
        await people.accounts.erase(owner, boss.id)
    else:
        await people.accounts.update(owner, boss.id, role=how)
    with pytest.raises(UnauthenticatedError, match="may not give this role any more"):
        await invitations.accept(
            token, username="bob", full_name="", password=PASSWORD, remote=HERE
        )


async def test_an_owner_who_became_administrator_has_invited_administrators_but_no_owners(
    people: People, invitations: Invitations
) -> None:
    boss = await people.add("boss", "owner")
    caller = await people.caller("boss")
    _, of_owner = await invitations.create(caller, "bob@example.org", "owner")
    _, of_viewer = await invitations.create(caller, "cy@example.org", "viewer")
    await people.accounts.update(await people.owner(), boss.id, role="administrator")
    with pytest.raises(UnauthenticatedError):
        await invitations.accept(
            of_owner, username="bob", full_name="", password=PASSWORD, remote=HERE
        )
    joined = await invitations.accept(
        of_viewer, username="cy", full_name="", password=PASSWORD, remote=HERE
    )
    assert joined.role == "viewer"


async def test_a_token_for_a_new_password_ends_when_the_password_is_changed_otherwise(
    people: People, resets: PasswordResets
) -> None:
    ann = await people.add("ann")
    token, _ = await resets.create(await people.owner(), ann.id)
    await people.accounts.change_password(await people.caller("ann"), PASSWORD, ANOTHER)
    with pytest.raises(UnauthenticatedError):
        await resets.reset(token, "a third long password", HERE)
    assert await people.accounts.login("ann", ANOTHER, HERE)


async def test_a_token_for_a_new_password_ends_when_its_person_joins_another_organisation(
    people: People, invitations: Invitations, resets: PasswordResets
) -> None:
    ann = await people.add("ann")
    owner = await people.owner()
    there_id = await people.accounts.create_organization(owner, "Ward 4")
    switched = await people.accounts.switch(owner, there_id)
    there = await people.accounts.authenticate_token(switched.access_token, HERE)
    token, _ = await resets.create(owner, ann.id)
    _, invitation = await invitations.create(there, "ann@example.org", "operator")
    await invitations.accept(invitation, username="", full_name="", password=PASSWORD, remote=HERE)
    with pytest.raises(UnauthenticatedError):
        await resets.reset(token, ANOTHER, HERE)
    assert await people.accounts.login("ann", PASSWORD, HERE, organization_id=there_id)


async def test_who_guesses_refresh_tokens_does_not_keep_the_writer_busy(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []
    monkeypatch.setattr(people.db, "write", written.append)
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.refresh("made up", HERE)
        await people.accounts.logout("made up")
    assert written == []
