"""The house's people as apps sign them in and manage them."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Request

from fleetwire import kit
from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    UnauthenticatedError,
)
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.password_resets import PasswordResets
from fleetwire.features.accounts.people import PeopleService
from fleetwire.kit import Caller, Person
from tests.fakes import FakeDownlink
from tests.features.accounts.conftest import HERE, PASSWORD, People
from tests.features.http import serving

APP = "tablets"
ROLES = kit.RoleNames({"ADMIN": "administrator", "STAFF": "operator"})


@pytest.fixture
async def service(people: People) -> PeopleService:
    return _service(people)


def _service(people: People) -> PeopleService:
    keys = ApiKeys(people.db, people.audit, FakeDownlink(), people.clock)
    resets = PasswordResets(people.db, people.audit, people.accounts, people.clock)
    return PeopleService(people.accounts, keys, resets)


async def _make(
    service: PeopleService, by: Caller, name: str = "ann", role: str = "operator"
) -> Person:
    return await service.create(by, username=name, password=PASSWORD, role=role, realm=APP)


async def test_somebody_without_an_e_mail_address_signs_in_by_his_user_name(
    people: People, service: PeopleService
) -> None:
    made = await _make(service, await people.owner())
    assert (made.username, made.realm, made.email) == ("ann", APP, "")
    signed_in = await service.sign_in(" Ann ", PASSWORD, HERE, realm=APP)
    assert signed_in.person.id == made.id
    assert signed_in.caller.role == "operator"
    assert signed_in.expires_at == people.clock() + 3600 * 1_000_000
    caller = await service.verify(signed_in.token, HERE)
    assert caller == signed_in.caller
    assert service.me(caller).last_login_at == people.clock()


async def test_a_name_in_a_realm_is_not_the_platforms_person_of_that_name(
    people: People, service: PeopleService
) -> None:
    owner = await people.owner()
    platforms = await people.add("ann", "viewer", password="another long password")
    apps = await _make(service, owner)
    assert (await service.sign_in("ann", PASSWORD, HERE, realm=APP)).person.id == apps.id
    with pytest.raises(UnauthenticatedError):
        await service.sign_in("ann", PASSWORD, HERE)
    found = await service.sign_in("ann", "another long password", HERE)
    assert found.person.id == platforms.id


async def test_who_is_not_in_the_realm_signs_in_as_the_platforms_person(
    people: People, service: PeopleService
) -> None:
    assert (await service.sign_in(*people.first, HERE, realm=APP)).person.role == "owner"


async def test_two_people_without_an_e_mail_address_do_not_collide(
    people: People, service: PeopleService
) -> None:
    owner = await people.owner()
    await _make(service, owner, "ann")
    await _make(service, owner, "ben")
    with pytest.raises(ConflictError) as refused:
        await _make(service, owner, "ann")
    assert refused.value.field == "username"


async def test_an_empty_name_finds_nobody_who_has_no_e_mail_address(
    people: People, service: PeopleService
) -> None:
    await _make(service, await people.owner())
    for name in ("", "@", ":", f"{APP}:"):
        with pytest.raises(UnauthenticatedError):
            await service.sign_in(name, PASSWORD, HERE, realm=APP)


async def test_people_without_an_e_mail_address_are_known_after_a_start(people: People) -> None:
    await _make(_service(people), await people.owner())
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    signed_in = await _service(people).sign_in("ann", PASSWORD, HERE, realm=APP)
    assert signed_in.person.email == ""


async def test_an_app_lists_the_people_of_its_realm(people: People, service: PeopleService) -> None:
    owner = await people.owner()
    await people.add("platform-ben")
    made = [await _make(service, owner, name) for name in ("ann", "ben", "cy")]
    first = await service.list(owner, realm=APP, limit=2)
    assert first.items == made[:2]
    rest = await service.list(owner, realm=APP, limit=2, cursor=first.next_cursor)
    assert (rest.items, rest.next_cursor) == (made[2:], None)
    assert len((await service.list(owner)).items) == 5


async def test_somebody_stays_in_his_realm_under_another_name(
    people: People, service: PeopleService
) -> None:
    owner = await people.owner()
    ann = await _make(service, owner)
    changed = await service.change(owner, ann.id, username="anna", full_name="Anna Example")
    assert (changed.username, changed.realm, changed.full_name) == ("anna", APP, "Anna Example")
    assert (await people.accounts.update(owner, ann.id, username=f"{APP}:an")).username == (
        f"{APP}:an"
    )


async def test_who_may_not_manage_accounts_may_not_here_either(
    people: People, service: PeopleService
) -> None:
    await _make(service, await people.owner())
    staff = (await service.sign_in("ann", PASSWORD, HERE, realm=APP)).caller
    with pytest.raises(ForbiddenError):
        await _make(service, staff, "ben")
    with pytest.raises(ForbiddenError):
        await service.list(staff)
    with pytest.raises(ForbiddenError):
        await service.delete(staff, staff.account_id)


async def test_signing_out_ends_the_access_token_at_once(
    people: People, service: PeopleService
) -> None:
    await _make(service, await people.owner())
    one = await service.sign_in("ann", PASSWORD, HERE, realm=APP)
    other = await service.sign_in("ann", PASSWORD, HERE, realm=APP)
    await service.sign_out(one.token)
    with pytest.raises(UnauthenticatedError, match="signed out"):
        await service.verify(one.token, HERE)
    with pytest.raises(UnauthenticatedError):
        await service.renew(one.refresh_token, HERE)
    assert await service.verify(other.token, HERE)
    await service.sign_out("no.such.token")  # and ends nothing
    assert await service.renew(other.refresh_token, HERE)


async def test_the_token_of_a_deleted_person_is_good_no_more_and_his_name_is_free(
    people: People, service: PeopleService
) -> None:
    owner = await people.owner()
    ann = await _make(service, owner)
    signed_in = await service.sign_in("ann", PASSWORD, HERE, realm=APP)
    await service.delete(owner, ann.id)
    with pytest.raises(UnauthenticatedError):
        await service.verify(signed_in.token, HERE)
    with pytest.raises(UnauthenticatedError):
        await service.sign_in("ann", PASSWORD, HERE, realm=APP)
    with pytest.raises(NotFoundError):
        await service.get(owner, ann.id)
    again = await _make(service, owner)
    assert again.id != ann.id
    with pytest.raises(UnauthenticatedError):
        await service.verify(signed_in.token, HERE)


async def test_nothing_of_a_deleted_person_is_left_but_the_number(
    people: People, service: PeopleService
) -> None:
    owner = await people.owner()
    ann = await service.create(
        owner, username="ann-xyz", password=PASSWORD, role="viewer", email="ann-xyz@example.org"
    )
    await service.delete(owner, ann.id)
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    assert ann.id not in [each.id for each in (await _service(people).list(owner)).items]
    columns = "email, username, full_name, password_hash, is_active"
    row = await people.db.read(
        lambda c: c.exec_driver_sql(f"SELECT {columns} FROM accounts WHERE id = {ann.id}").one()
    )
    assert "ann-xyz" not in str(row)
    assert (row.password_hash, row.is_active) == (None, 0)
    assert [each["subject"] for each in await people.audited("account.erased")] == [
        f"account:{ann.id}"
    ]


async def test_the_last_owner_cannot_be_deleted(people: People, service: PeopleService) -> None:
    owner = await people.owner()
    with pytest.raises(ConflictError, match="last owner"):
        await service.delete(owner, owner.account_id)
    assert (await people.owner()).role == "owner"


async def test_changing_the_own_password_ends_every_login(
    people: People, service: PeopleService
) -> None:
    await _make(service, await people.owner())
    signed_in = await service.sign_in("ann", PASSWORD, HERE, realm=APP)
    with pytest.raises(InvalidValueError) as refused:
        await service.change_password(signed_in.caller, "wrong", "another long password")
    assert refused.value.field == "old_password"
    await service.change_password(signed_in.caller, PASSWORD, "another long password")
    with pytest.raises(UnauthenticatedError):
        await service.verify(signed_in.token, HERE)
    assert await service.sign_in("ann", "another long password", HERE, realm=APP)


DEMO = {"username": "admin", "password": "123456", "role": "administrator", "realm": APP}


async def test_well_known_passwords_are_for_demonstrations_only(
    people: People, service: PeopleService
) -> None:
    with pytest.raises(ForbiddenError):
        await service.create_for_demo(1, **DEMO)
    people.accounts.allows_known_passwords = True
    made = await service.create_for_demo(1, **DEMO)
    assert made is not None
    assert await service.create_for_demo(1, **DEMO) is None  # he is there
    assert (await service.sign_in("admin", "123456", HERE, realm=APP)).person == (
        await service.get(await people.owner(), made.id)
    )


async def test_after_the_demonstration_a_well_known_password_opens_nothing(
    people: People, service: PeopleService
) -> None:
    people.accounts.allows_known_passwords = True
    made = await service.create_for_demo(1, **DEMO)
    assert made is not None
    during = await service.sign_in("admin", "123456", HERE, realm=APP)
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    service = _service(people)
    for refused in (
        service.sign_in("admin", "123456", HERE, realm=APP),
        service.verify(during.token, HERE),
        service.renew(during.refresh_token, HERE),
    ):
        with pytest.raises(UnauthenticatedError):
            await refused
    assert people.accounts.caller_of(made.id) is None  # which a key of his would ask
    owner = await people.owner()
    assert not (await service.get(owner, made.id)).is_active
    await service.change(owner, made.id, password=PASSWORD, is_active=True)
    assert await service.sign_in("admin", PASSWORD, HERE, realm=APP)
    people.accounts = people.open_accounts()
    await people.accounts.bootstrap()
    assert await _service(people).sign_in("admin", PASSWORD, HERE, realm=APP)


async def test_an_owner_of_the_demonstration_is_no_owner_who_is_left(
    people: People, service: PeopleService
) -> None:
    people.accounts.allows_known_passwords = True
    await service.create_for_demo(1, **DEMO | {"role": "owner"})
    owner = await people.owner()
    with pytest.raises(ConflictError, match="last owner"):
        await service.change(owner, owner.account_id, role="administrator")


async def test_what_is_no_realm_is_refused(people: People, service: PeopleService) -> None:
    for realm in ("Tablets", "a:b", "a" * 32, "-a", "a b"):
        with pytest.raises(ValueError, match="no realm"):
            await service.create(
                await people.owner(), username="x", password=PASSWORD, role="viewer", realm=realm
            )


async def test_the_house_itself_manages_people_of_every_role(
    people: People, service: PeopleService
) -> None:
    house = Caller.system(1)
    made = await _make(service, house, role="owner")
    assert (await service.change(house, made.id, full_name="Ann")).full_name == "Ann"
    assert made.id in [each.id for each in (await service.list(house)).items]
    await service.delete(house, made.id)
    with pytest.raises(NotFoundError):
        await service.get(house, made.id)
    with pytest.raises(ForbiddenError):  # which has no password of its own
        await service.change_password(house, "x", "another long password")


async def test_an_app_signs_people_in_on_a_route_of_its_own_shape(
    people: People, service: PeopleService
) -> None:
    await _make(service, await people.owner())
    router = APIRouter()

    @router.post("/api/auth/login")
    async def login(
        body: dict[str, str],
        request: Request,
        people: Annotated[kit.People, kit.service(kit.People)],
    ) -> dict[str, Any]:
        signed_in = await people.sign_in(
            body["username"], body["password"], kit.remote_of(request), realm=APP
        )
        role = ROLES.theirs(signed_in.person.role)
        return {"success": True, "token": signed_in.token, "user": {"role": role}}

    async with serving([router], {kit.People: service}) as http:
        answer = await http.post("/api/auth/login", json={"username": "ann", "password": PASSWORD})
        assert answer.json()["user"] == {"role": "STAFF"}
        assert (await service.verify(answer.json()["token"], HERE)).username == f"{APP}:ann"
        wrong = await http.post("/api/auth/login", json={"username": "ann", "password": "x"})
        assert wrong.status_code == 401
