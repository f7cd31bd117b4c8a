"""Passwords: hashed with argon2id, off the event loop and only a few at a time."""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleetwire.features.accounts.errors import TooManyAttemptsError

T = TypeVar("T")

# OWASP's first choice for argon2id: 19 MiB and about 25 ms of one core for each hash.
MEMORY_KIB = 19 * 1024
TIME_COST = 2
AT_ONCE = 2  # hashes; the rest of the house needs the processor, too
WAITING_MOST = 64  # people who wait for their turn; they would wait a second or two

_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no 0 O 1 l
_RANDOM_CHARS = 20  # 116 bits


def random_password() -> str:
    """Return a password that nobody can guess and anybody can type."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))


class Passwords:
    """Makes and checks password hashes."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, time_cost: int = TIME_COST) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # Nobody's password: checking against it takes as long as checking a real one.
        salt, digest = (
            b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32)
        )
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={time_cost},p=1${salt}${digest}"

    async def hash(self, password: str) -> str:
        """Return the hash to be stored. Raises TooManyAttemptsError."""
        return await self._in_turn(self._hasher.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Say whether the password fits; None fits nothing, and takes just as long.

        Raises TooManyAttemptsError.
        """
        return await self._in_turn(self._verify, stored or self._nobody, password)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= WAITING_MOST:
            raise TooManyAttemptsError("Too many people sign in at this moment. Try again.", 2.0)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1
