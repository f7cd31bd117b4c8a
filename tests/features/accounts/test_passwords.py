"""Password hashes: slow on purpose, but never many at a time."""

import asyncio
import threading

import pytest

from fleetwire.features.accounts import passwords as module
from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.features.accounts.passwords import AT_ONCE, WAITING_MOST, Passwords, random_password


async def test_only_the_same_password_fits() -> None:
    passwords = Passwords()
    stored = await passwords.hash("péssword")
    assert await passwords.matches(stored, "péssword")
    assert not await passwords.matches(stored, "pèssword")
    assert stored != await passwords.hash("péssword")  # a salt of its own


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$m=1,t=1,p=1$x$y"])
async def test_what_is_no_hash_fits_nothing(stored: str | None) -> None:
    assert not await Passwords().matches(stored, "")


async def test_few_hashes_at_once_and_a_bound_on_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    running: list[int] = []
    lock = threading.Lock()
    passwords = Passwords()

    def slow(stored: str, password: str) -> bool:
        with lock:
            running.append(1)
            assert len(running) <= AT_ONCE
        gate.wait(5)
        with lock:
            running.pop()
        return True

    monkeypatch.setattr(passwords, "_verify", slow)
    tasks = [asyncio.create_task(passwords.matches(None, "")) for _ in range(WAITING_MOST)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyAttemptsError):
        await passwords.matches(None, "")
    gate.set()
    assert all(await asyncio.gather(*tasks))
    assert await passwords.matches(None, "")  # there is room again


def test_random_passwords_differ_and_have_no_look_alikes() -> None:
    made = {random_password() for _ in range(200)}
    assert len(made) == 200
    assert {len(each) for each in made} == {20}
    assert not set("".join(made)) & set("0O1lI")
    assert len(module._ALPHABET) == len(set(module._ALPHABET))
