"""The organisation: seen by its members, renamed by those who may."""

import asyncio

import pytest
from sqlalchemy import text

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
)
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations.service import MAX_NAME_CHARS, Organizations
from fleetwire.kit import Caller
from tests.fakes import caller
from tests.features.rooms import Rooms

MEMBER = frozenset({"organization.read"})
MANAGER = MEMBER | {"organization.write"}


def somebody(organization_id: int = 1, permissions: frozenset[str] = MANAGER) -> Caller:
    return caller(organization_id, permissions=permissions)


@pytest.fixture
def organizations(rooms: Rooms) -> Organizations:
    return Organizations(rooms.db, SqlAudit(rooms.db, rooms.clock))


async def renamings(rooms: Rooms) -> list[tuple[int, str, str]]:
    query = text("SELECT organization_id, subject, detail FROM audit WHERE action = :action")
    return await rooms.db.read(
        lambda c: [tuple(row) for row in c.execute(query, {"action": "organization.renamed"})]
    )


async def test_each_sees_his_own(organizations: Organizations) -> None:
    first = await organizations.get(somebody(1, MEMBER))
    second = await organizations.get(somebody(2, MEMBER))
    assert (first.id, first.name) == (1, "Organisation 1")
    assert (second.id, second.name) == (2, "Organisation 2")


async def test_who_may_not_read_sees_nothing(organizations: Organizations) -> None:
    with pytest.raises(ForbiddenError, match=r"organization\.read"):
        await organizations.get(somebody(permissions=frozenset()))


async def test_an_organisation_that_is_gone_is_not_found(organizations: Organizations) -> None:
    with pytest.raises(NotFoundError):
        await organizations.get(somebody(99))


async def test_a_new_name_is_stored_trimmed_and_on_record(
    rooms: Rooms, organizations: Organizations
) -> None:
    assert (await organizations.rename(somebody(), "  Ward 3 ")).name == "Ward 3"
    assert (await organizations.get(somebody())).name == "Ward 3"
    assert (await organizations.get(somebody(2))).name == "Organisation 2"
    assert await renamings(rooms) == [(1, "organization:1", '{"name": "Ward 3"}')]


async def test_only_who_may_write_renames(rooms: Rooms, organizations: Organizations) -> None:
    with pytest.raises(ForbiddenError, match=r"organization\.write"):
        await organizations.rename(somebody(permissions=MEMBER), "Ward 3")
    assert (await organizations.get(somebody())).name == "Organisation 1"
    assert await renamings(rooms) == []


async def test_anothers_name_is_taken_and_ones_own_is_not(
    rooms: Rooms, organizations: Organizations
) -> None:
    with pytest.raises(ConflictError) as refused:
        await organizations.rename(somebody(), "Organisation 2")
    assert refused.value.field == "name"
    assert await renamings(rooms) == []  # what did not happen is not on record
    assert (await organizations.rename(somebody(), "Organisation 1")).name == "Organisation 1"


async def test_of_two_who_want_one_name_at_once_one_gets_it(organizations: Organizations) -> None:
    results = await asyncio.gather(
        *(organizations.rename(somebody(number), "Ward 3") for number in (1, 2)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "Organization"]


@pytest.mark.parametrize("name", ["", "   ", "x" * (MAX_NAME_CHARS + 1), "a\nb", "a\x00b"])
async def test_a_name_has_bounds(organizations: Organizations, name: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        await organizations.rename(somebody(), name)
    assert refused.value.field == "name"


async def test_a_store_that_is_away_says_so_and_keeps_the_name(
    rooms: Rooms, organizations: Organizations
) -> None:
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await organizations.rename(somebody(), "Ward 3")
    rooms.db.is_away = False
    assert (await organizations.get(somebody())).name == "Organisation 1"
