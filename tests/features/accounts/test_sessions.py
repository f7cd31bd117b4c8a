"""Logins that go on, and how they end: tokens, and what is connected with them, at once."""

from functools import partial

import pytest
from sqlalchemy import TextClause, text

from fleetwire.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from fleetwire.features.accounts import logins
from fleetwire.features.accounts.logins import Tokens
from fleetwire.store.database import Transaction
from tests.features.accounts.conftest import HERE, PASSWORD, People

DAY_S = 24 * 3600


async def _sign_in(people: People, name: str = "ann") -> Tokens:
    return await people.accounts.login(name, PASSWORD, HERE)


def _run(statement: TextClause, tx: Transaction) -> None:
    tx.execute(statement)


async def _rows(people: People, table: str) -> object:
    count = text(f"SELECT count(*) FROM {table}")
    return await people.db.read(lambda connection: connection.scalar(count))


async def _is_good(people: People, tokens: Tokens) -> bool:
    try:
        await people.accounts.authenticate_token(tokens.access_token, HERE)
    except UnauthenticatedError:
        return False
    return True


async def test_sessions_are_listed_the_one_used_last_first(people: People) -> None:
    await people.add("ann")
    first = await _sign_in(people)
    began_at = people.clock()
    people.clock.advance(60)
    await _sign_in(people)
    people.clock.advance(60)
    await people.accounts.refresh(first.refresh_token, HERE)
    ann = await people.accounts.authenticate_token(first.access_token, HERE)
    newest, older = await people.accounts.sessions(ann)
    assert (newest.created_at, newest.used_at) == (began_at, began_at + 120_000_000)
    assert newest.expires_at == newest.used_at + 30 * DAY_S * 1_000_000
    assert older.created_at == older.used_at == began_at + 60_000_000
    assert {newest.remote, older.remote} == {HERE}


async def test_a_session_ended_by_hand_is_good_no_more_and_the_other_is(people: People) -> None:
    await people.add("ann")
    one, other = await _sign_in(people), await _sign_in(people)
    told: list[tuple[int, str]] = []
    people.accounts.watchers.append(lambda account_id, reason: told.append((account_id, reason)))
    ann = await people.accounts.authenticate_token(other.access_token, HERE)
    _, ones = await people.accounts.sessions(ann)
    await people.accounts.end_session(ann, ones.id)
    assert not await _is_good(people, one)
    assert await _is_good(people, other)
    assert told == [(ann.account_id, "signed out")]
    with pytest.raises(NotFoundError):
        await people.accounts.end_session(ann, ones.id)


async def test_nobody_ends_anothers_session_without_being_allowed_to(people: People) -> None:
    await people.add("ann")
    await people.add("ben")
    anns = await _sign_in(people)
    ann = await people.accounts.authenticate_token(anns.access_token, HERE)
    ben = await people.caller("ben")
    (session,) = await people.accounts.sessions(ann)
    with pytest.raises(NotFoundError):
        await people.accounts.end_session(ben, session.id)
    with pytest.raises(ForbiddenError):
        await people.accounts.end_sessions(ben, ann.account_id)
    assert await _is_good(people, anns)


async def test_an_administrator_ends_all_sessions_but_not_those_of_an_owner(
    people: People,
) -> None:
    ann = await people.add("ann")
    await people.add("boss", "administrator")
    one, other = await _sign_in(people), await _sign_in(people)
    boss = await people.caller("boss")
    await people.accounts.end_sessions(boss, ann.id)
    assert not await _is_good(people, one)
    assert not await _is_good(people, other)
    owner = await people.owner()
    with pytest.raises(ForbiddenError):
        await people.accounts.end_sessions(boss, owner.account_id)
    assert await _is_good(people, await _sign_in(people))  # and he may sign in again


async def test_a_login_begun_from_another_ends_with_it_and_not_the_other_way_round(
    people: People,
) -> None:
    first = await people.accounts.login(*people.first, HERE)
    owner = await people.accounts.authenticate_token(first.access_token, HERE)
    there_id = await people.accounts.create_organization(owner, "Ward 4")
    second = await people.accounts.switch(owner, there_id)
    there = await people.accounts.authenticate_token(second.access_token, HERE)
    third, fourth = [await people.accounts.switch(there, 1) for _ in range(2)]
    await people.accounts.logout(fourth.refresh_token)
    assert not await _is_good(people, fourth)
    for each in (first, second, third):
        assert await _is_good(people, each)
    await people.accounts.logout(first.refresh_token)
    for each in (first, second, third):
        assert not await _is_good(people, each)
        with pytest.raises(UnauthenticatedError):
            await people.accounts.refresh(each.refresh_token, HERE)


async def test_nothing_is_left_of_logins_that_ended(people: People) -> None:
    ann = await people.add("ann")
    for _ in range(3):
        await _sign_in(people)
    await people.accounts.end_sessions(await people.owner(), ann.id)
    await people.accounts.logout((await _sign_in(people)).refresh_token)
    for table in ("logins", "login_origins"):
        assert await _rows(people, table) == 2  # the owner, each time he was asked for


async def test_signing_out_ends_access_tokens_after_a_start_too(people: People) -> None:
    await people.add("ann")
    out, on = await _sign_in(people), await _sign_in(people)
    await people.accounts.logout(out.refresh_token)
    await people.accounts.logout(out.refresh_token)  # which ends nothing more
    assert len(await people.audited("logout")) == 1
    assert not await _is_good(people, out)
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    assert not await _is_good(people, out)
    assert await _is_good(people, on)


async def test_an_access_token_signs_its_login_out(people: People) -> None:
    await people.add("ann")
    tokens = await _sign_in(people)
    await people.accounts.logout(tokens.access_token)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)


async def test_a_refresh_token_used_twice_ends_the_access_tokens_of_the_login(
    people: People,
) -> None:
    await people.add("ann")
    stolen = await _sign_in(people)
    thiefs = await people.accounts.refresh(stolen.refresh_token, HERE)
    assert await _is_good(people, thiefs)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(stolen.refresh_token, HERE)
    assert not await _is_good(people, thiefs)
    assert not await _is_good(people, stolen)


async def test_of_too_many_logins_the_oldest_ends_with_its_access_token(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOGINS_MOST", 2)
    await people.add("ann")
    oldest, second, third = [await _sign_in(people) for _ in range(3)]
    assert not await _is_good(people, oldest)
    assert await _is_good(people, second)
    assert await _is_good(people, third)


async def test_a_refresh_token_of_before_logins_were_stored_goes_on(people: People) -> None:
    ann = await people.add("ann")
    tokens = await _sign_in(people)
    for table in ("logins", "login_origins"):
        delete = text(f"DELETE FROM {table}")
        await people.db.write(partial(_run, delete))
    again = await people.accounts.refresh(tokens.refresh_token, HERE)
    assert await _is_good(people, again)
    caller = await people.accounts.authenticate_token(again.access_token, HERE)
    assert [each.organization_id for each in await people.accounts.sessions(caller)] == [
        ann.organization_id
    ]
