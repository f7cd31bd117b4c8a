"""Signing in, staying in, being thrown out; managing accounts."""

import asyncio
from typing import Any

import msgspec
import pytest

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    UnauthenticatedError,
)
from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.features.accounts.logins import LOGINS_MOST
from fleetwire.kit import Caller
from tests.features.accounts.conftest import HERE, PASSWORD, People

DAY_S = 24 * 3600


# --- the first start ---


async def test_the_first_start_makes_an_administrator_and_tells_the_password(
    people: People,
) -> None:
    username, password = people.first
    assert username == "admin"
    assert len(password) == 20
    caller = await people.owner()
    assert (caller.email, caller.role) == ("admin@fleetwire.local", "owner")
    assert "account.manage" in caller.permissions


async def test_a_later_start_tells_no_password_and_knows_everybody(people: People) -> None:
    await people.add("ann", "operator")
    people.accounts = people.open_accounts()
    assert await people.accounts.bootstrap() is None
    assert (await people.caller("ann")).role == "operator"


async def test_no_password_is_stored_as_it_is(people: People) -> None:
    await people.add("ann")
    await people.db.close()
    stored = b"".join(path.read_bytes() for path in people.path.parent.iterdir())
    assert b"$argon2id$" in stored
    assert PASSWORD.encode() not in stored
    assert people.first[1].encode() not in stored


# --- login ---


@pytest.mark.parametrize("name", ["ann", "Ann", " ann ", "ann@example.org", "ANN@example.org"])
async def test_login_takes_user_name_or_e_mail(people: People, name: str) -> None:
    await people.add("ann", "operator")
    tokens = await people.accounts.login(name, PASSWORD, HERE)
    caller = await people.accounts.authenticate_token(tokens.access_token, HERE)
    assert (caller.username, caller.role, caller.remote) == ("ann", "operator", HERE)


async def test_wrong_password_and_unknown_user_are_told_in_the_same_words(people: People) -> None:
    await people.add("ann")
    await people.add("elsewhere", password=None)
    closed = await people.add("closed")
    await people.accounts.deactivate(await people.owner(), closed.id)
    said = set()
    for name in ("ann", "nobody", "elsewhere", "closed", "", "@"):
        with pytest.raises(UnauthenticatedError) as refused:
            await people.accounts.login(name, "not the password", HERE)
        said.add(str(refused.value))
    assert len(said) == 1


async def test_an_unknown_user_costs_a_password_hash_too(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    passwords = people.accounts._passwords
    verify = passwords._verify

    def noting(stored: str, password: str) -> bool:
        checked.append(stored.rsplit("$", 2)[0])
        return verify(stored, password)

    monkeypatch.setattr(passwords, "_verify", noting)
    for name in (people.first[0], "nobody"):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.login(name, "wrong", HERE)
    assert len(checked) == 2
    assert checked[0] == checked[1]  # the same work: algorithm, memory, time


async def test_a_failed_login_is_audited_without_what_was_typed(people: People) -> None:
    ann = await people.add("ann")
    for name in ("ann", "my-secret-typed-as-a-name"):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.login(name, "wrong", HERE)
    known, unknown = await people.audited("login.failed")
    assert known["subject"] == f"account:{ann.id}"
    assert known["organization_id"] == ann.organization_id
    assert (known["outcome"], known["remote"]) == ("refused", HERE)
    assert (unknown["subject"], unknown["organization_id"]) == (None, None)
    assert "my-secret" not in str(unknown)


async def test_a_login_is_audited_and_its_time_kept(people: People) -> None:
    ann = await people.add("ann")
    assert ann.last_login_at is None
    tokens = await people.accounts.login("ann", PASSWORD, HERE)
    assert tokens.account == msgspec.structs.replace(ann, last_login_at=people.clock())
    account = await people.accounts.get(await people.owner(), ann.id)
    assert account.last_login_at == people.clock()
    assert (await people.audited("login"))[-2]["actor"] == f"account:{ann.id}"


async def test_five_failures_make_the_sixth_attempt_wait_even_with_the_right_password(
    people: People,
) -> None:
    await people.add("ann")
    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.login("ann", "wrong", HERE)
    with pytest.raises(TooManyAttemptsError) as refused:
        await people.accounts.login("Ann", PASSWORD, HERE)
    assert 0 < refused.value.retry_after_s <= 1
    assert await people.accounts.login("ann", PASSWORD, "198.51.100.1")  # from elsewhere he may
    people.waits += 1.0
    assert await people.accounts.login("ann", PASSWORD, HERE)


async def test_blanks_and_capitals_around_a_name_gain_no_attempts(people: People) -> None:
    await people.add("ann")
    for name in ("ann", " ann", "ann ", "ANN", "\tann\n"):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.login(name, "wrong", HERE)
    with pytest.raises(TooManyAttemptsError):
        await people.accounts.login("  ann  ", "wrong", HERE)


async def test_many_attempts_at_once_gain_nothing(people: People) -> None:
    results = await asyncio.gather(
        *(people.accounts.login("admin", "wrong", HERE) for _ in range(40)), return_exceptions=True
    )
    kinds = [type(result) for result in results]
    assert kinds.count(UnauthenticatedError) == 5
    assert kinds.count(TooManyAttemptsError) == 35


# --- refresh ---


async def test_refresh_gives_new_tokens_that_work(people: People) -> None:
    tokens = await people.accounts.login(*people.first, HERE)
    again = await people.accounts.refresh(tokens.refresh_token, HERE)
    assert again.refresh_token != tokens.refresh_token
    caller = await people.accounts.authenticate_token(again.access_token, HERE)
    assert caller.username == "admin"


async def test_a_refresh_token_used_twice_ends_the_whole_login_and_no_other(
    people: People,
) -> None:
    stolen = await people.accounts.login(*people.first, HERE)
    other = await people.accounts.login(*people.first, HERE)
    newer = await people.accounts.refresh(stolen.refresh_token, HERE)
    for token in (stolen.refresh_token, newer.refresh_token):
        with pytest.raises(UnauthenticatedError):
            await people.accounts.refresh(token, HERE)
    assert await people.accounts.refresh(other.refresh_token, HERE)
    assert len(await people.audited("login.refresh_reused")) == 1


async def test_of_two_refreshes_at_once_one_is_refused(people: People) -> None:
    tokens = await people.accounts.login(*people.first, HERE)
    results = await asyncio.gather(
        *(people.accounts.refresh(tokens.refresh_token, HERE) for _ in range(2)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Tokens", "UnauthenticatedError"]


async def test_a_refresh_token_expires(people: People) -> None:
    tokens = await people.accounts.login(*people.first, HERE)
    people.clock.advance(30 * DAY_S)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)


@pytest.mark.parametrize("token", ["", "x", "\ud800", "ä" * 256])
async def test_an_unknown_refresh_token_is_refused(people: People, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(token, HERE)
    await people.accounts.logout(token)  # and ends nothing


async def test_logout_ends_the_login(people: People) -> None:
    tokens = await people.accounts.login(*people.first, HERE)
    await people.accounts.logout(tokens.refresh_token)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)


async def test_old_logins_do_not_pile_up(people: People) -> None:
    count = "SELECT count(*) FROM refresh_tokens"
    first = await people.accounts.login(*people.first, HERE)
    account = people.accounts.me(await people.owner())
    for _ in range(LOGINS_MOST + 5):
        await people.db.write(lambda tx: people.accounts._log_in(tx, account, *_stored(people)))
    assert await people.db.read(lambda c: c.exec_driver_sql(count).scalar()) == LOGINS_MOST
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(first.refresh_token, HERE)
    people.clock.advance(31 * DAY_S)
    await people.owner()
    assert await people.db.read(lambda c: c.exec_driver_sql(count).scalar()) == 1


def _stored(people: People) -> tuple[str, str]:
    with people.db.engine.connect() as connection:
        query = "SELECT password_hash FROM accounts WHERE username = 'admin'"
        return str(connection.exec_driver_sql(query).scalar()), HERE


# --- what counts at once ---


async def test_a_closed_account_is_refused_from_the_next_request_on(people: People) -> None:
    ann = await people.add("ann")
    tokens = await people.accounts.login("ann", PASSWORD, HERE)
    owner = await people.owner()
    await people.accounts.deactivate(owner, ann.id)
    with pytest.raises(UnauthenticatedError, match="closed"):
        await people.accounts.authenticate_token(tokens.access_token, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)
    await people.accounts.update(owner, ann.id, is_active=True)
    with pytest.raises(UnauthenticatedError, match="Sign in again"):  # what was ended stays ended
        await people.accounts.authenticate_token(tokens.access_token, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)


async def test_another_role_counts_from_the_next_request_on(people: People) -> None:
    ann = await people.add("ann", "administrator")
    tokens = await people.accounts.login("ann", PASSWORD, HERE)
    await people.accounts.update(await people.owner(), ann.id, role="viewer")
    caller = await people.accounts.authenticate_token(tokens.access_token, HERE)
    assert caller.role == "viewer"
    with pytest.raises(ForbiddenError):
        await people.accounts.list(caller)


# --- changing the password ---


async def test_changing_the_password_ends_all_logins(people: People) -> None:
    await people.add("ann")
    tokens = await people.accounts.login("ann", PASSWORD, HERE)
    await people.accounts.change_password(await people.caller("ann"), PASSWORD, "quite another one")
    with pytest.raises(UnauthenticatedError):
        await people.accounts.refresh(tokens.refresh_token, HERE)
    with pytest.raises(UnauthenticatedError):
        await people.accounts.login("ann", PASSWORD, HERE)
    assert await people.accounts.login("ann", "quite another one", HERE)


async def test_changing_the_password_needs_the_old_one_and_guessing_it_is_slowed(
    people: People,
) -> None:
    await people.add("ann")
    caller = await people.caller("ann")
    for _ in range(5):
        with pytest.raises(InvalidValueError) as refused:
            await people.accounts.change_password(caller, "wrong", "quite another one")
        assert refused.value.field == "old_password"
    with pytest.raises(TooManyAttemptsError):
        await people.accounts.change_password(caller, PASSWORD, "quite another one")
    assert len(await people.audited("password.refused")) == 5


@pytest.mark.parametrize("password", ["", "nine char", "x" * 1025])
async def test_a_new_password_has_bounds(people: People, password: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        await people.accounts.change_password(await people.owner(), people.first[1], password)
    assert refused.value.field == "new_password"


# --- managing accounts ---


async def test_accounts_are_listed_in_pages(people: People) -> None:
    for name in ("ann", "bob", "eve"):
        await people.add(name)
    owner = await people.owner()
    page = await people.accounts.list(owner, limit=3)
    assert [account.username for account in page.items] == ["admin", "ann", "bob"]
    rest = await people.accounts.list(owner, limit=3, cursor=page.next_cursor)
    assert [account.username for account in rest.items] == ["eve"]
    assert rest.next_cursor is None


async def test_another_organisations_account_does_not_exist_for_us(people: People) -> None:
    ann = await people.add("ann", "administrator")
    stranger = Caller("account:9", 9, frozenset({"account.manage"}), role="owner")
    assert (await people.accounts.list(stranger)).items == []
    with pytest.raises(NotFoundError):
        await people.accounts.get(stranger, ann.id)
    with pytest.raises(NotFoundError):
        await people.accounts.update(stranger, ann.id, role="viewer")


@pytest.mark.parametrize(
    ("again", "field"),
    [
        ({"email": "ann@example.org", "username": "other"}, "email"),
        ({"email": "ANN@Example.org", "username": "other"}, "email"),
        ({"email": "other@example.org", "username": "ann"}, "username"),
        ({"email": "other@example.org", "username": "ANN"}, "username"),
    ],
)
async def test_a_taken_name_is_told(people: People, again: dict[str, Any], field: str) -> None:
    await people.add("ann")
    with pytest.raises(ConflictError) as refused:
        await people.add("bob", **again)
    assert refused.value.field == field
    bob = await people.add("bob")
    with pytest.raises(ConflictError) as refused:
        await people.accounts.update(await people.owner(), bob.id, **{field: again[field]})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": "ann"}, "email"),
        ({"email": "a b@example.org"}, "email"),
        ({"email": "a@b@example.org"}, "email"),
        ({"email": "ann@" + "x" * 320}, "email"),
        ({"username": ""}, "username"),
        ({"username": "ann@example.org"}, "username"),
        ({"username": "a\nb"}, "username"),
        ({"username": "x" * 129}, "username"),
        ({"full_name": "a\x00b"}, "full_name"),
        ({"role": "god"}, "role"),
        ({"password": "short"}, "password"),
    ],
)
async def test_a_wrong_field_is_named(people: People, wrong: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        await people.add("ann", **wrong)
    assert refused.value.field == field


async def test_an_administrator_cannot_rise_above_himself(people: People) -> None:
    await people.add("adam", "administrator")
    viewer = await people.add("ann")
    owner = people.accounts.me(await people.owner())
    adam = await people.caller("adam")
    with pytest.raises(ForbiddenError):
        await people.accounts.update(adam, viewer.id, role="owner")
    with pytest.raises(ForbiddenError):
        await people.accounts.create_account(
            adam, email="x@example.org", username="x", role="owner", password=PASSWORD
        )
    with pytest.raises(ForbiddenError):
        await people.accounts.update(adam, owner.id, password=PASSWORD)
    assert await people.accounts.login(*people.first, HERE)  # nothing of it was stored
    assert (await people.accounts.update(adam, viewer.id, role="operator")).role == "operator"


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "administrator"}])
async def test_the_last_owner_stays(people: People, change: dict[str, object]) -> None:
    owner = await people.owner()
    with pytest.raises(ConflictError):
        await people.accounts.update(owner, owner.account_id, **change)  # type: ignore[arg-type]
    assert (await people.owner()).role == "owner"
    await people.add("second", "owner")
    await people.accounts.update(owner, owner.account_id, **change)  # type: ignore[arg-type]


async def test_an_owner_of_a_moment_ago_does_not_slip_away(people: People) -> None:
    # The three may share one commit, and the directory is told only after it.
    ann = await people.add("ann")
    owner = await people.owner()
    results = await asyncio.gather(
        people.accounts.update(owner, ann.id, role="owner"),
        people.accounts.update(owner, owner.account_id, role="viewer"),
        people.accounts.update(owner, ann.id, role="viewer"),
        return_exceptions=True,
    )
    assert isinstance(results[2], ConflictError)
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    assert (await people.caller("ann")).role == "owner"


async def test_two_owners_cannot_close_each_other_at_once(people: People) -> None:
    second = await people.add("second", "owner")
    first, other = await people.owner(), await people.caller("second")
    results = await asyncio.gather(
        people.accounts.deactivate(first, second.id),
        people.accounts.deactivate(other, first.account_id),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), ConflictError]


async def test_a_change_is_audited_without_the_password(people: People) -> None:
    ann = await people.add("ann")
    await people.accounts.update(
        await people.owner(), ann.id, password="quite another one", full_name=" Ann "
    )
    (record,) = await people.audited("account.changed")
    assert record["subject"] == f"account:{ann.id}"
    assert '"full_name": "Ann"' in record["detail"]
    assert "quite another" not in record["detail"]


async def test_a_viewer_manages_nobody(people: People) -> None:
    ann = await people.add("ann")
    caller = await people.caller("ann")
    for refused in (
        people.accounts.list(caller),
        people.accounts.get(caller, ann.id),
        people.accounts.update(caller, ann.id, role="owner"),
        people.accounts.deactivate(caller, ann.id),
        people.accounts.create_account(caller, email="x@y.z", username="x", role="viewer"),
    ):
        with pytest.raises(ForbiddenError):
            await refused
    assert people.accounts.me(caller).username == "ann"
