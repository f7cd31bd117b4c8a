"""AddressVisits: how often each address uses what is open to all, in bounded memory."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final

from fleetwire.errors import TooManyError
from fleetwire.kit.http import Visits

# The one that came longest ago goes first: whoever has so many addresses has no need to wait.
ADDRESSES_MOST: Final = 50_000


class TooManyVisitsError(TooManyError):
    """An address calls too often; it may again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AddressVisits(Visits):
    """A bucket for each address and route, refilled evenly over the minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._staying: Counter[tuple[str, str]] = Counter()

    def enter(self, remote: str, what: str, per_minute: int) -> None:
        key = (host_of(remote), what)
        now = self._clock()
        left, at = self._buckets.pop(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - at) * per_minute / 60)
        if left >= 1:
            self._buckets[key] = (left - 1, now)
        else:
            self._buckets[key] = (left, now)
        if len(self._buckets) > ADDRESSES_MOST:
            self._buckets.popitem(last=False)
        if left < 1:
            raise TooManyVisitsError(
                f"Your address may call this {per_minute} times a minute.",
                (1 - left) * 60 / per_minute,
            )

    @contextmanager
    def stay(self, remote: str, what: str, most: int) -> Iterator[None]:
        key = (host_of(remote), what)
        if self._staying[key] >= most:
            raise TooManyVisitsError(f"Your address has {most} connections here already.", 5.0)
        self._staying[key] += 1
        try:
            yield
        finally:
            self._staying[key] -= 1
            if not self._staying[key]:
                del self._staying[key]


def host_of(remote: str) -> str:
    """Return whose address it is: who has one of IPv6 has the 64 bits below it, too."""
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if not isinstance(address, IPv6Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))
