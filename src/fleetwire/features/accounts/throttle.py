"""Throttle: makes guessing passwords slow without locking anybody out for long."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from fleetwire.features.accounts.errors import TooManyAttemptsError

FREE_ATTEMPTS = 5
FIRST_WAIT_S = 1.0
# Of one name from everywhere, and of one address for every name: many people share an address, and
# nobody shall lock another out with a few attempts.
FREE_OF_NAME = 50
FREE_OF_ADDRESS = 200
LONGEST_WAIT_S = 900.0
FORGET_AFTER_S = 2 * LONGEST_WAIT_S
# The one that was tried longest ago goes first. Each costs its sender a password hash, so pushing
# one's own entry out this way takes minutes and gains five attempts.
ENTRIES_MOST = 10_000
IPV6_BITS = 64  # of an address: the rest is for whoever has it to choose

_EVERYWHERE = "everywhere"  # stands where an address would, and is none


class _Entry:
    __slots__ = ("attempts", "free_at", "last_at")

    def __init__(self) -> None:
        self.attempts = 0
        self.free_at = 0.0
        self.last_at = 0.0


class Throttle:
    """Counts attempts; each past those that are free doubles the wait for the next.

    Where somebody has signed in from before he does not wait for what others try from elsewhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._signed_in: OrderedDict[bytes, None] = OrderedDict()  # the latest last

    def enter_login(self, name: str, remote: str) -> None:
        """Count an attempt for the name from this address, for the name, and for the address.

        Raises TooManyAttemptsError as `enter`.
        """
        self.enter(name, remote)
        if _key(name, remote) not in self._signed_in:
            self.enter(name, _EVERYWHERE, FREE_OF_NAME)
        self.enter("", _every_name(remote), FREE_OF_ADDRESS)

    def logged_in(self, name: str, remote: str) -> None:
        """Forget the attempts for the name, and one of the address, which may try others' too."""
        self.succeeded(name, remote)
        key = _key(name, remote)
        if key not in self._signed_in:
            self.succeeded(name, _EVERYWHERE)
        self._signed_in[key] = None
        self._signed_in.move_to_end(key)
        if len(self._signed_in) > ENTRIES_MOST:
            self._signed_in.popitem(last=False)
        address = self._entries.get(_key("", _every_name(remote)))
        if address is not None:
            address.attempts = max(0, address.attempts - 1)

    def enter(self, name: str, remote: str, free: int = FREE_ATTEMPTS) -> None:
        """Count an attempt before it is made, so that many at once gain nothing.

        Raises TooManyAttemptsError while the wait of the last one lasts; that is not counted.
        """
        now = self._clock()
        key = _key(name, remote)
        entry = self._entries.get(key)
        if entry is None or now - entry.last_at > FORGET_AFTER_S:
            entry = self._entries[key] = _Entry()
        if now < entry.free_at:
            wait_s = entry.free_at - now
            raise TooManyAttemptsError(
                f"Too many attempts failed. Try again in {math.ceil(wait_s)} s.", wait_s
            )
        entry.attempts += 1
        entry.last_at = now
        beyond = entry.attempts - free
        if beyond >= 0:
            # Past 2**20 the shift would only grow; the longest wait is reached long before.
            entry.free_at = now + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(beyond, 20))
        self._entries.move_to_end(key)
        if len(self._entries) > ENTRIES_MOST:
            self._entries.popitem(last=False)

    def succeeded(self, name: str, remote: str) -> None:
        """Forget the attempts: it was the right person."""
        self._entries.pop(_key(name, remote), None)

    def __len__(self) -> int:
        return len(self._entries)


def _every_name(remote: str) -> str:
    return f"every name from {_place(remote)}"


def _place(remote: str) -> str:
    """Return an address, or the network where whoever has one has all of it."""
    try:
        address = ipaddress.IPv6Address(remote.partition("%")[0])
    except ValueError:
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_BITS), strict=False))


def _key(name: str, remote: str) -> bytes:
    remote = _place(remote)
    # A digest, because a name may be as long as its sender likes.
    return blake2b(f"{remote}\0{name.lower()}".encode(errors="replace"), digest_size=16).digest()
