"""Tokens of an issuer behind a real JWKS URL, whose keys rotate."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from fleetwire.errors import UnauthenticatedError
from fleetwire.features.accounts.errors import KeysUnavailableError
from fleetwire.features.accounts.keys import KEEP_S, PAUSE_S, KeySet
from fleetwire.features.accounts.tokens import AccessTokens
from tests.features.accounts.conftest import HERE, SECRET, People
from tests.features.accounts.jwks import JwksServer

ISSUER = "https://id.example"
AUDIENCE = "fleet"
OLD = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NEW = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def server() -> Iterator[JwksServer]:
    with JwksServer().running() as server:
        server.rotate("old", OLD)
        yield server


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock(people: People, server: JwksServer) -> Clock:
    """Let the accounts believe the server; the clock is that of its keys."""
    clock = Clock()
    people.accounts._access_tokens = AccessTokens(
        SECRET,
        KeySet(server.url, clock=clock),
        people.clock,
        audience=AUDIENCE,
        issuer=ISSUER,
    )
    return clock


def claims(people: People, **more: Any) -> dict[str, Any]:
    said = {"iss": ISSUER, "aud": AUDIENCE, "email": "ann@example.org"}
    return {**said, "exp": people.clock() // 1_000_000 + 60, **more}


async def test_a_key_that_is_new_is_fetched_and_an_old_one_believed_until_it_is_withdrawn(
    people: People, server: JwksServer, clock: Clock
) -> None:
    ann = await people.add("ann")
    old = server.sign(claims(people), "old")
    assert (await people.accounts.authenticate_token(old, HERE)).account_id == ann.id
    server.keys["new"] = NEW  # both are published for a while
    clock.s += PAUSE_S
    new = server.sign(claims(people), "new")
    for token in (new, old):
        assert (await people.accounts.authenticate_token(token, HERE)).account_id == ann.id
    assert server.requests == 2
    server.rotate("new", NEW)
    clock.s += KEEP_S + 1
    assert await people.accounts.authenticate_token(new, HERE)
    with pytest.raises(UnauthenticatedError, match=r"unknown key.*FLEETWIRE_JWKS_URL.*'old'"):
        await people.accounts.authenticate_token(old, HERE)


async def test_a_key_that_was_replaced_under_its_id_signs_nothing_any_more(
    people: People, server: JwksServer, clock: Clock
) -> None:
    await people.add("ann")
    token = server.sign(claims(people), "old")
    assert await people.accounts.authenticate_token(token, HERE)
    server.rotate("old", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    clock.s += KEEP_S + 1
    with pytest.raises(UnauthenticatedError, match="not genuine"):
        await people.accounts.authenticate_token(token, HERE)


async def test_tokens_with_made_up_keys_do_not_make_us_hammer_the_issuer(
    people: People, server: JwksServer, clock: Clock
) -> None:
    await people.add("ann")
    assert await people.accounts.authenticate_token(server.sign(claims(people), "old"), HERE)
    made_up = [server.sign(claims(people), f"made-up-{number}", NEW) for number in range(30)]
    outcomes = await asyncio.gather(
        *(people.accounts.authenticate_token(token, HERE) for token in made_up),
        return_exceptions=True,
    )
    assert {type(outcome) for outcome in outcomes} == {UnauthenticatedError}
    assert server.requests == 1
    clock.s += PAUSE_S
    await asyncio.gather(
        *(people.accounts.authenticate_token(token, HERE) for token in made_up),
        return_exceptions=True,
    )
    assert server.requests == 2


async def test_while_the_issuer_is_broken_known_keys_are_good_and_unknown_ones_are_not(
    people: People, server: JwksServer, clock: Clock
) -> None:
    await people.add("ann")
    token = server.sign(claims(people), "old")
    assert await people.accounts.authenticate_token(token, HERE)
    server.is_broken = True
    clock.s += KEEP_S + 1
    assert await people.accounts.authenticate_token(token, HERE)
    with pytest.raises(UnauthenticatedError, match="unknown key"):
        await people.accounts.authenticate_token(server.sign(claims(people), "new", NEW), HERE)


async def test_that_the_issuer_is_broken_is_logged_once_and_that_it_is_back(
    people: People, server: JwksServer, clock: Clock
) -> None:
    await people.add("ann")
    token = server.sign(claims(people), "old")
    with capture_logs() as logs:
        for server.is_broken in (False, True, True, True, False, False):
            clock.s += KEEP_S + 1
            assert await people.accounts.authenticate_token(token, HERE)
    assert [each["event"] for each in logs] == [
        "the JWKS URL gives no keys",
        "the JWKS URL gives keys again",
    ]


async def test_before_any_key_was_fetched_it_says_try_again(
    people: People, server: JwksServer, clock: Clock
) -> None:
    await people.add("ann")
    server.is_broken = True
    token = server.sign(claims(people), "old")
    with pytest.raises(KeysUnavailableError):
        await people.accounts.authenticate_token(token, HERE)
    server.is_broken = False
    clock.s += PAUSE_S
    assert await people.accounts.authenticate_token(token, HERE)


async def test_who_waits_for_a_fetch_does_not_hold_up_those_whose_key_is_known() -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    server = JwksServer()
    server.rotate("old", OLD)
    with server.running():
        known = KeySet(server.url)._fetch()
    clock = Clock()
    is_slow = False

    def fetch() -> Any:
        if is_slow:
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
        return known

    keys = KeySet(server.url, fetch=fetch, clock=clock)
    assert await keys.find("old") is not None
    is_slow = True
    clock.s += KEEP_S + 1
    waiting = asyncio.create_task(keys.find("new"))
    async with asyncio.timeout(10):
        await began.wait()
        assert await keys.find("old") is not None
        assert not waiting.done()
        go_on.set()
        assert await waiting is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"iss": "https://evil.example"}, r"its iss is 'https://evil.example', FLEETWIRE_JWT_ISS"),
        ({"iss": None}, r"its iss is missing"),
        ({"aud": "another"}, r"its aud is 'another', FLEETWIRE_JWT_AUDIENCE is 'fleet'"),
        ({"aud": ["a", "b"]}, r"its aud is \['a', 'b'\]"),
    ],
)
async def test_a_token_that_was_made_for_others_says_what_does_not_fit(
    people: People, server: JwksServer, clock: Clock, said: dict[str, Any], told: str
) -> None:
    await people.add("ann")
    body = {name: value for name, value in claims(people, **said).items() if value is not None}
    with pytest.raises(UnauthenticatedError, match=told):
        await people.accounts.authenticate_token(server.sign(body, "old"), HERE)
