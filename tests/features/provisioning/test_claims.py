"""Claim codes: once, in time, for whom they were made."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.provisioning.claims import Claim
from fleetwire.features.provisioning.guesses import FREE_TRIES, RECORDED_BURST
from fleetwire.features.provisioning.newcomers import Newcomer
from fleetwire.features.provisioning.tables import claims
from fleetwire.features.provisioning.way_in import LetIn
from tests.fakes import caller
from tests.features.provisioning.conftest import HERE, Entrance

WRONG = "2222-2222-2222"


def newcomer(device_id: str = "d", *, organization_id: int = 1, **more: Any) -> Newcomer:
    return Newcomer(organization_id, "demo", device_id, "meter", **more)


async def make(entrance: Entrance, device_id: str | None = "d", **more: Any) -> tuple[Claim, str]:
    wanted = newcomer(device_id or "", attributes={"floor": 2, "none": None}, tags=["cold"])
    return await entrance.claims.create(caller(), wanted, is_open=device_id is None, **more)


async def take(entrance: Entrance, code: str, device_id: str | None = None) -> LetIn:
    return await entrance.claims.take(code, device_id, remote=HERE, reached="fleet.example")


async def test_a_claimed_device_is_registered_told_of_and_lets_itself_in(
    entrance: Entrance,
) -> None:
    claim, code = await make(entrance)
    assert entrance.newcomers.find("demo", "d") is None
    let_in = await take(entrance, code.lower())
    assert await entrance.connects(let_in)
    assert (let_in.host, let_in.ports) == ("fleet.example", {"mqtt": 1883, "mqtts": 8883})
    assert let_in.publish == ["devices/d/data", "devices/d/+/state"]
    assert let_in.subscribe == ["devices/d/commands"]
    record = await entrance.rooms.devices.get(caller(), "demo", "d")
    assert (record.type, record.attributes, record.tags) == ("meter", {"floor": 2}, ("cold",))
    await entrance.rooms.heard("device.enrolled")
    assert entrance.rooms.told[0].body["way"] == "claim"
    by = f"claim:{claim.id}"
    assert await entrance.deeds() == [
        ("account:1", "claim.created", by),
        (by, "device.enrolled", "device:demo/d"),
        (by, "claim.used", "device:demo/d"),
    ]


async def test_a_code_is_good_for_one_device_once(entrance: Entrance) -> None:
    _, code = await make(entrance)
    answers = await asyncio.gather(
        *(take(entrance, code) for _ in range(5)), return_exceptions=True
    )
    assert [isinstance(each, LetIn) for each in answers].count(True) == 1
    # Those who came too late saw an open claim, or a device that was there already.
    assert all(isinstance(each, LetIn | UnauthenticatedError | ConflictError) for each in answers)
    with pytest.raises(UnauthenticatedError, match="unknown, used, expired or revoked"):
        await take(entrance, code)
    (page,) = (await entrance.claims.list(caller())).items
    assert (page.uses, page.state(entrance.rooms.clock())) == (1, "used")


async def test_of_many_at_once_as_many_claim_as_may(entrance: Entrance) -> None:
    _, code = await make(entrance, None, max_uses=2)
    answers = await asyncio.gather(
        *(take(entrance, code, f"d{number}") for number in range(6)), return_exceptions=True
    )
    assert [isinstance(each, LetIn) for each in answers].count(True) == 2
    assert len(entrance.rooms.registry) == 2


async def test_of_an_unknown_used_expired_and_revoked_code_the_same_is_said(
    entrance: Entrance,
) -> None:
    used, expired, revoked = [(await make(entrance, f"d{n}"))[1] for n in range(3)]
    await take(entrance, used)
    await entrance.claims.revoke(caller(), 3)
    await entrance.claims.revoke(caller(), 3)
    entrance.rooms.clock.advance(86_400)
    said = set()
    for code in (WRONG, used, expired, revoked):
        with pytest.raises(UnauthenticatedError) as error:
            await take(entrance, code)
        said.add(error.value.message)
    assert len(said) == 1
    states = [c.state(entrance.rooms.clock()) for c in (await entrance.claims.list(caller())).items]
    assert states == ["revoked", "expired", "used"]


async def test_an_open_claim_asks_for_the_device_id_and_takes_over_no_device(
    entrance: Entrance,
) -> None:
    _, code = await make(entrance, None, max_uses=3)
    await entrance.rooms.register("taken")
    with pytest.raises(InvalidValueError, match="device_id"):
        await take(entrance, code)
    with pytest.raises(InvalidValueError, match="stands in topics"):
        await take(entrance, code, "a/b")
    with pytest.raises(ConflictError):
        await take(entrance, code, "taken")
    for device_id in ("a", "b", "c"):
        assert (await take(entrance, code, device_id)).device_id == device_id
    with pytest.raises(UnauthenticatedError):
        await take(entrance, code, "d")


async def test_a_claim_of_one_device_is_for_no_other(entrance: Entrance) -> None:
    _, code = await make(entrance)
    with pytest.raises(InvalidValueError, match="another id"):
        await take(entrance, code, "e")
    assert (await take(entrance, code, "d")).device_id == "d"


async def test_a_device_that_is_there_gets_one_more_credential(entrance: Entrance) -> None:
    await entrance.rooms.register("d")
    _, code = await make(entrance)
    assert await entrance.connects(await take(entrance, code))
    assert len(await entrance.rooms.devices.credentials(caller(), "demo", "d")) == 2


async def test_nobody_claims_another_organisations_device(entrance: Entrance) -> None:
    await entrance.rooms.register("theirs", by=caller(2))
    with pytest.raises(ConflictError, match="registered with 'demo'"):
        await make(entrance, "theirs")
    _, code = await make(entrance, "later")
    await entrance.rooms.register("later", by=caller(2))
    with pytest.raises(ConflictError, match="registered with 'demo'"):
        await take(entrance, code)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": 2**62}, "expires_at"),
        ({"max_uses": 2}, "uses"),
        ({"device_id": None, "max_uses": 0}, "uses"),
        ({"device_id": None, "max_uses": 1_000_000}, "uses"),
        ({"device_id": "a/b"}, "device_id"),
    ],
)
async def test_what_cannot_be_claimed_is_refused_when_it_is_made(
    entrance: Entrance, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidValueError) as error:
        await make(entrance, **given)
    assert error.value.field == field


async def test_an_app_or_a_type_that_cannot_be_is_refused_when_it_is_made(
    entrance: Entrance,
) -> None:
    for wanted in (Newcomer(1, "none", "", "meter"), Newcomer(1, "demo", "", "\n")):
        with pytest.raises(InvalidValueError):
            await entrance.claims.create(caller(), wanted, is_open=True)


async def test_guessing_costs_an_address_a_wait_and_nobody_else(entrance: Entrance) -> None:
    _, code = await make(entrance)
    for _ in range(FREE_TRIES):
        with pytest.raises(UnauthenticatedError):
            await take(entrance, WRONG)
    with pytest.raises(TooManyError, match="Try again in"):
        await take(entrance, code)
    other = await entrance.claims.take(code, None, remote="192.0.2.8", reached="x")
    assert other.device_id == "d"


async def test_a_mistyped_code_costs_nothing(entrance: Entrance) -> None:
    _, code = await make(entrance)
    for _ in range(FREE_TRIES * 2):
        with pytest.raises(InvalidValueError):
            await take(entrance, code[:-1])
    assert await take(entrance, code)


async def test_guesses_are_on_record_up_to_a_bound(entrance: Entrance) -> None:
    for number in range(round(RECORDED_BURST) + 5):
        with pytest.raises(UnauthenticatedError):
            await entrance.claims.take(WRONG, None, remote=f"10.0.{number}.1", reached="x")
    deeds = await entrance.deeds()
    assert deeds == [("anonymous", "claim.refused", None)] * round(RECORDED_BURST)


async def test_nothing_is_used_up_when_the_database_is_away(entrance: Entrance) -> None:
    _, code = await make(entrance)
    entrance.rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await take(entrance, code)
    assert entrance.newcomers.find("demo", "d") is None
    entrance.rooms.db.is_away = False
    assert await entrance.connects(await take(entrance, code))


async def test_the_table_has_no_code_but_it_can_be_shown_again(entrance: Entrance) -> None:
    claim, code = await make(entrance)
    (row,) = await entrance.rooms.db.read(lambda c: c.execute(select(claims)).mappings().all())
    stored = " ".join(map(str, row.values()))
    assert code not in stored
    assert code.replace("-", "") not in stored
    assert await entrance.claims.show(caller(), claim.id) == code
    assert (await entrance.deeds())[-1] == ("account:1", "claim.shown", f"claim:{claim.id}")
    with pytest.raises(ConflictError, match="secret is another one"):
        await entrance.make_claims("another secret of the house").show(caller(), claim.id)
    await take(entrance, code)
    with pytest.raises(ConflictError, match="is used"):
        await entrance.claims.show(caller(), claim.id)


async def test_claims_are_their_organisations_and_need_the_permission(entrance: Entrance) -> None:
    claim, _ = await make(entrance)
    assert (await entrance.claims.list(caller(2))).items == []
    for call in (entrance.claims.show, entrance.claims.revoke):
        with pytest.raises(NotFoundError):
            await call(caller(2), claim.id)
        with pytest.raises(ForbiddenError):
            await call(caller(permissions=frozenset({"device.read"})), claim.id)
    with pytest.raises(ForbiddenError):
        await entrance.claims.create(
            caller(permissions=frozenset({"device.read"})), newcomer(), is_open=False
        )


async def test_claims_are_paged_newest_first(entrance: Entrance) -> None:
    for number in range(3):
        await make(entrance, f"d{number}")
    first = await entrance.claims.list(caller(), limit=2)
    second = await entrance.claims.list(caller(), limit=2, cursor=first.next_cursor)
    assert [claim.id for claim in (*first.items, *second.items)] == [3, 2, 1]
    assert second.next_cursor is None
