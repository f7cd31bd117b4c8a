"""Fleet keys: a device asks, a person decides, and the credential is given exactly once."""

from typing import Any

import pytest

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.features.provisioning import enrolling
from fleetwire.features.provisioning.approvals import Change
from fleetwire.features.provisioning.enrolling import Answer
from fleetwire.features.provisioning.guesses import FREE_TRIES
from fleetwire.features.provisioning.requests import Request
from fleetwire.features.provisioning.way_in import LetIn
from tests.fakes import caller
from tests.features.provisioning.conftest import HERE, Entrance

DAY_S = 86_400


async def key_of(entrance: Entrance, **more: Any) -> str:
    made: dict[str, Any] = {"name": "line 2", "app": "demo", "type": "meter", "tags": ["new"]}
    return (await entrance.keys.create(caller(), **made | more))[1]


async def ask(entrance: Entrance, key: str, device_id: str = "d", **more: Any) -> Answer:
    asked: dict[str, Any] = {"app": None, "type": None, "facts": {"serial": "A-1"}}
    return await entrance.enrolling.ask(
        key, device_id, **asked | more, remote=HERE, reached="fleet.example"
    )


async def fetch(entrance: Entrance, token: str | None) -> Answer:
    assert token is not None
    return await entrance.enrolling.fetch(token, remote=HERE, reached="fleet.example")


async def let_in(entrance: Entrance, token: str | None) -> LetIn:
    answer = await fetch(entrance, token)
    assert answer.let_in is not None
    return answer.let_in


async def only(entrance: Entrance, state: str | None = None) -> Request:
    (request,) = (await entrance.approvals.list(caller(), state=state)).items
    return request


async def approve(entrance: Entrance, change: Change | None = None) -> Request:
    request = await only(entrance)
    return await entrance.approvals.approve(caller(), request.id, change or Change())


async def test_a_device_waits_until_a_person_says_yes(entrance: Entrance) -> None:
    key = await key_of(entrance)
    asked = await ask(entrance, key)
    assert (asked.state, asked.let_in) == ("pending", None)
    assert (await fetch(entrance, asked.poll_token)).state == "pending"
    request = await only(entrance, "pending")
    assert (request.device_id, request.facts, request.remote) == ("d", {"serial": "A-1"}, HERE)
    assert entrance.newcomers.find("demo", "d") is None
    change = Change(name="Bed 4", attributes={"floor": 2})
    assert (await approve(entrance, change)).state == "approved"
    given = await let_in(entrance, asked.poll_token)
    assert await entrance.connects(given)
    record = await entrance.rooms.devices.get(caller(), "demo", "d")
    assert (record.name, record.attributes, record.tags) == ("Bed 4", {"floor": 2}, ("new",))
    assert (await only(entrance)).state == "enrolled"
    assert await entrance.deeds() == [
        ("account:1", "fleet_key.created", "fleet_key:1"),
        ("account:1", "enrolment.approved", "device:demo/d"),
        ("fleet_key:1", "device.enrolled", "device:demo/d"),
        ("fleet_key:1", "enrolment.fetched", "device:demo/d"),
    ]


async def test_a_key_that_approves_lets_in_at_once(entrance: Entrance) -> None:
    answer = await ask(entrance, await key_of(entrance, auto_approve=True), type="scale")
    assert answer.let_in is not None
    assert await entrance.connects(answer.let_in)
    assert answer.let_in.type == "scale"


async def test_a_lost_answer_is_given_again_with_another_password(entrance: Entrance) -> None:
    asked = await ask(entrance, await key_of(entrance))
    await approve(entrance)
    lost = await let_in(entrance, asked.poll_token)
    given = await let_in(entrance, asked.poll_token)
    assert given.credential.password != lost.credential.password
    assert not await entrance.connects(lost)
    closed = ("credential", lost.credential.id, "revoked")
    assert closed in entrance.rooms.downlink.disconnected
    assert await entrance.connects(given)


async def test_after_the_first_connection_nothing_more_is_given(entrance: Entrance) -> None:
    for key in (await key_of(entrance), await key_of(entrance, auto_approve=True)):
        name = f"d{key[-4:]}"
        asked = await ask(entrance, key, name)
        if asked.let_in is None:
            await approve(entrance)
        given = await let_in(entrance, asked.poll_token)
        assert await entrance.connects(given)
        with pytest.raises(ConflictError, match="has connected"):
            await fetch(entrance, asked.poll_token)
        with pytest.raises(ConflictError, match="has connected"):
            await ask(entrance, key, name)
        assert await entrance.connects(given)


async def test_who_lost_the_poll_token_asks_again_and_is_decided_on_again(
    entrance: Entrance,
) -> None:
    key = await key_of(entrance)
    first = await ask(entrance, key)
    await approve(entrance)
    again = await ask(entrance, key, facts={"serial": "B-2"})
    assert again.state == "pending"
    with pytest.raises(UnauthenticatedError):
        await fetch(entrance, first.poll_token)
    request = await only(entrance, "pending")
    assert (request.asked, request.facts) == (2, {"serial": "B-2"})
    await approve(entrance)
    assert await entrance.connects(await let_in(entrance, again.poll_token))


async def test_who_lost_the_credential_too_gets_another_and_the_first_is_revoked(
    entrance: Entrance,
) -> None:
    key = await key_of(entrance)
    first = await ask(entrance, key)
    await approve(entrance)
    lost = await let_in(entrance, first.poll_token)
    again = await ask(entrance, key)
    assert again.state == "pending"
    await approve(entrance)
    given = await let_in(entrance, again.poll_token)
    assert not await entrance.connects(lost)
    assert await entrance.connects(given)


async def test_a_key_that_approves_gives_a_lost_credential_anew(entrance: Entrance) -> None:
    key = await key_of(entrance, auto_approve=True, max_devices=1)
    lost = (await ask(entrance, key)).let_in
    given = (await ask(entrance, key)).let_in
    assert lost is not None
    assert given is not None
    assert not await entrance.connects(lost)
    assert await entrance.connects(given)


async def test_no_key_touches_a_device_that_is_registered_otherwise(entrance: Entrance) -> None:
    await entrance.rooms.register("d")
    await entrance.rooms.register("theirs", by=caller(2))
    for auto_approve in (True, False):
        key = await key_of(entrance, auto_approve=auto_approve)
        for device_id in ("d", "theirs"):
            with pytest.raises(ConflictError, match="registered"):
                await ask(entrance, key, device_id)


async def test_nor_one_that_came_by_another_key(entrance: Entrance) -> None:
    one, other = [await key_of(entrance, auto_approve=True) for _ in range(2)]
    await ask(entrance, one)
    with pytest.raises(ConflictError, match="registered"):
        await ask(entrance, other)


async def test_of_two_that_ask_for_one_name_the_second_is_not_let_in(entrance: Entrance) -> None:
    for _ in range(2):
        await ask(entrance, await key_of(entrance))
    one, other = (await entrance.approvals.list(caller())).items
    await entrance.approvals.approve(caller(), one.id, Change())
    await entrance.rooms.register("d")
    with pytest.raises(ConflictError, match="registered"):
        await entrance.approvals.approve(caller(), other.id, Change())


async def test_who_was_refused_is_told_why_and_may_be_let_in_later(entrance: Entrance) -> None:
    key = await key_of(entrance)
    asked = await ask(entrance, key)
    request = await only(entrance)
    for _ in range(2):
        await entrance.approvals.refuse(caller(), request.id, "not one of ours")
    for again in (fetch(entrance, asked.poll_token), ask(entrance, key)):
        with pytest.raises(ForbiddenError, match="not one of ours"):
            await again
    await approve(entrance)
    assert await entrance.connects(await let_in(entrance, asked.poll_token))
    with pytest.raises(ConflictError, match="in already"):
        await entrance.approvals.refuse(caller(), request.id)


async def test_a_revoked_key_lets_nobody_ask_or_fetch_but_leaves_who_is_in(
    entrance: Entrance,
) -> None:
    key = await key_of(entrance)
    inside = await ask(entrance, key, "inside")
    await approve(entrance)
    given = await let_in(entrance, inside.poll_token)
    waiting = await ask(entrance, key, "waiting")
    request = await only(entrance, "pending")
    await entrance.approvals.approve(caller(), request.id, Change())
    pending = await ask(entrance, key, "pending")
    for _ in range(2):
        await entrance.keys.revoke(caller(), 1)
    with pytest.raises(UnauthenticatedError):
        await ask(entrance, key, "new")
    with pytest.raises(UnauthenticatedError):
        await fetch(entrance, waiting.poll_token)
    assert (await fetch(entrance, pending.poll_token)).state == "pending"
    request = await only(entrance, "pending")
    with pytest.raises(ConflictError, match="revoked"):
        await entrance.approvals.approve(caller(), request.id, Change())
    assert await entrance.connects(given)


async def test_a_key_ends_and_a_request_does_not_wait_for_ever(entrance: Entrance) -> None:
    ends = entrance.rooms.clock() + DAY_S * 1_000_000
    asked = await ask(entrance, await key_of(entrance))
    short = await key_of(entrance, expires_at=ends)
    entrance.rooms.clock.advance(DAY_S)
    with pytest.raises(UnauthenticatedError, match="unknown, expired or revoked"):
        await ask(entrance, short, "e")
    entrance.rooms.clock.advance(6 * DAY_S)
    with pytest.raises(UnauthenticatedError, match="ask anew"):
        await fetch(entrance, asked.poll_token)


async def test_a_key_lets_in_as_many_as_it_may(entrance: Entrance) -> None:
    key = await key_of(entrance, auto_approve=True, max_devices=2)
    for device_id in ("a", "b"):
        await ask(entrance, key, device_id)
    with pytest.raises(TooManyError):
        await ask(entrance, key, "c")
    (shown,) = (await entrance.keys.list(caller())).items
    assert (shown.enrolled, shown.max_devices) == (2, 2)
    by_hand = await key_of(entrance, max_devices=1)
    for device_id in ("x", "y"):
        await ask(entrance, by_hand, device_id)
    first, second = (await entrance.approvals.list(caller(), state="pending")).items
    await entrance.approvals.approve(caller(), first.id, Change())
    with pytest.raises(TooManyError):
        await entrance.approvals.approve(caller(), second.id, Change())


async def test_a_leaked_key_cannot_make_the_list_endless(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolling, "PENDING_MOST", 2)
    key = await key_of(entrance)
    for device_id in ("a", "b"):
        await ask(entrance, key, device_id)
    with pytest.raises(TooManyError, match="wait for a decision"):
        await ask(entrance, key, "c")
    assert (await ask(entrance, key, "a")).state == "pending"


async def test_a_device_that_was_removed_may_ask_anew(entrance: Entrance) -> None:
    key = await key_of(entrance, auto_approve=True)
    first = await ask(entrance, key)
    await entrance.rooms.devices.delete(caller(), "demo", "d")
    with pytest.raises(ConflictError, match="was removed"):
        await fetch(entrance, first.poll_token)
    again = (await ask(entrance, key)).let_in
    assert again is not None
    assert await entrance.connects(again)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"device_id": "a/b"}, "device_id"),
        ({"device_id": ""}, "device_id"),
        ({"app": "vending"}, "app"),
        ({"type": "\n"}, "type"),
        ({"facts": {"a b": 1}}, "facts"),
        ({"facts": {"a": "x" * 5000}}, "facts"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_its_field(
    entrance: Entrance, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidValueError) as error:
        await ask(entrance, await key_of(entrance), **given)
    assert error.value.field == field
    assert (await entrance.approvals.list(caller())).items == []


async def test_wrong_keys_and_tokens_cost_an_address_a_wait(entrance: Entrance) -> None:
    for call in (lambda: ask(entrance, "fwf_wrong"), lambda: fetch(entrance, "wrong")):
        for _ in range(FREE_TRIES):
            with pytest.raises(UnauthenticatedError):
                await call()
        with pytest.raises(TooManyError, match="Try again in"):
            await call()
    deeds = {action for _, action, _ in await entrance.deeds()}
    assert deeds == {"fleet_key.refused", "poll_token.refused"}


async def test_nothing_is_given_while_the_database_is_away(entrance: Entrance) -> None:
    asked = await ask(entrance, await key_of(entrance))
    await approve(entrance)
    entrance.rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await fetch(entrance, asked.poll_token)
    entrance.rooms.db.is_away = False
    assert await entrance.connects(await let_in(entrance, asked.poll_token))


async def test_others_see_and_decide_nothing(entrance: Entrance) -> None:
    await ask(entrance, await key_of(entrance))
    request = await only(entrance)
    assert (await entrance.approvals.list(caller(2))).items == []
    assert (await entrance.keys.list(caller(2))).items == []
    for call in (
        entrance.approvals.get(caller(2), request.id),
        entrance.approvals.approve(caller(2), request.id, Change()),
        entrance.approvals.refuse(caller(2), request.id),
        entrance.keys.revoke(caller(2), 1),
    ):
        with pytest.raises(NotFoundError):
            await call
    reader = caller(permissions=frozenset({"device.read"}))
    for call in (
        entrance.approvals.approve(reader, request.id, Change()),
        entrance.approvals.refuse(reader, request.id),
        entrance.keys.revoke(reader, 1),
    ):
        with pytest.raises(ForbiddenError):
            await call


async def test_what_it_uses_after_a_restart_is_known_from_the_database(entrance: Entrance) -> None:
    answer = await ask(entrance, key := await key_of(entrance, auto_approve=True))
    assert answer.let_in is not None
    await entrance.connects(answer.let_in)
    await entrance.door.flush()
    known = entrance.rooms.registry.credential_of(
        entrance.rooms.device("d").id, answer.let_in.credential.id
    )
    assert known is not None
    known.used_at = 0
    await entrance.rooms.devices.load()
    with pytest.raises(ConflictError, match="has connected"):
        await ask(entrance, key)
