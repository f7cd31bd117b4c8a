"""A way in for an owner, made on the database alone."""

import pytest

from fleetwire.errors import NotFoundError, UnauthenticatedError
from fleetwire.features.accounts.owner_reset import OwnerReset
from fleetwire.features.accounts.passwords import Passwords
from tests.features.accounts.conftest import HERE, PASSWORD, People

OWN = "a password of my own"


@pytest.fixture
def reset(people: People) -> OwnerReset:
    quick = Passwords(memory_kib=64, time_cost=1)
    return OwnerReset(people.db, people.audit, clock=people.clock, passwords=quick)


async def _start(people: People) -> None:
    people.accounts = people.open_accounts()
    assert await people.accounts.bootstrap() is None


async def test_the_password_is_good_for_one_login_in_which_another_is_set(
    people: People, reset: OwnerReset
) -> None:
    password = await reset.reset(await reset.find(None))
    await _start(people)
    tokens = await people.accounts.login("admin", password, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.login("admin", password, HERE)
    owner = await people.accounts.authenticate_token(tokens.access_token, HERE)
    await people.accounts.change_password(owner, password, OWN)
    for _ in range(2):
        assert await people.accounts.login("admin", OWN, HERE)


async def test_everything_that_was_good_before_ends(people: People, reset: OwnerReset) -> None:
    before = await people.accounts.login(*people.first, HERE)
    await reset.reset(await reset.find(None))
    await _start(people)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.login(*people.first, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(before.refresh_token, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.authenticate_token(before.access_token, HERE)


async def test_it_stands_in_the_audit(people: People, reset: OwnerReset) -> None:
    owner = await reset.find(None)
    await reset.reset(owner)
    (row,) = await people.audited("password.reset_offline")
    assert (row["actor"], row["subject"]) == ("console", f"account:{owner.account_id}")


async def test_of_several_owners_one_is_named(people: People, reset: OwnerReset) -> None:
    await people.add("ann", "owner")
    await people.add("ben", "administrator")
    for name in (None, "ben", "nobody"):
        with pytest.raises(NotFoundError, match="one of: admin, ann"):
            await reset.find(name)
    assert (await reset.find(" Ann ")).username == "ann"


async def test_a_closed_owner_is_opened(people: People, reset: OwnerReset) -> None:
    ann = await people.add("ann", "owner")
    await people.accounts.deactivate(await people.owner(), ann.id)
    owner = await reset.find("ann")
    assert not owner.is_active
    password = await reset.reset(owner)
    await _start(people)
    assert await people.accounts.login("ann", password, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.login("ann", PASSWORD, HERE)
