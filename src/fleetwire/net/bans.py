"""BanList: who connects again and again, and is kept out for a while.

Each client id of an identity, and each address, has a credit of connects. Who has used it up is
banned; each further ban lasts twice as long as the one before, up to the longest. Attempts during a
ban change nothing. After a quiet time as long as the longest ban, all is forgotten.

Does not: know clocks (`now` is in seconds of one that does not run backwards) or write logs.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from fleetwire.net.meter import TokenBucket

CLIENT = "client"
ADDRESS = "address"
REMEMBERED = 10_000  # names; the one that connected longest ago is forgotten first
_DOUBLINGS = 20  # past this the number only grows; the longest ban is reached long before

Name = tuple[str, str, str]  # kind, name, identity ("" for an address)


@dataclass(frozen=True)
class BanLimits:
    """When a ban begins and how long it lasts; 0 connects = nobody is banned. Times in seconds.

    A client id is banned for more than `client_connects` within `window_s`, an address for more
    than `address_connects`.
    """

    # Two a second for a minute: no device in order does that, and no person at a keyboard.
    client_connects: int = 120
    address_connects: int = 0  # a whole fleet may come through one proxy or gateway
    window_s: int = 60
    first_s: int = 60
    longest_s: int = 3600


@dataclass(frozen=True)
class Ban:
    """Somebody is kept out. `kind` is `client` or `address`; `began` and `ends` are of `now`."""

    kind: str
    name: str  # the client id or the address
    identity: str  # whose client id it is; "" for an address
    began: float
    ends: float
    count: int  # how many bans this is in a row


class _Record:
    __slots__ = ("bans", "credit", "ends")

    def __init__(self, credit: TokenBucket) -> None:
        self.credit = credit
        self.bans = 0
        self.ends = 0.0  # of the last ban


class BanList:
    """All bans in force, and what may lead to the next ones."""

    def __init__(self, limits: BanLimits) -> None:
        self.limits = limits
        self._records: OrderedDict[Name, _Record] = OrderedDict()
        self._bans: dict[Name, Ban] = {}

    def count(self, kind: str, name: str, identity: str, now: float) -> Ban | None:
        """Count a connect; return the ban that it leads to."""
        limits = self.limits
        most = limits.client_connects if kind == CLIENT else limits.address_connects
        key = (kind, name, identity)
        if not most or key in self._bans:
            return None
        record = self._records.get(key)
        if record is None or (record.bans and now - record.ends > limits.longest_s):
            record = self._records[key] = _Record(TokenBucket(most / limits.window_s, most))
        self._records.move_to_end(key)
        if len(self._records) > REMEMBERED:
            self._records.popitem(last=False)
        if record.credit.take(now):
            return None
        lasts_s = min(limits.longest_s, limits.first_s * 2 ** min(record.bans, _DOUBLINGS))
        record.bans += 1
        record.ends = now + lasts_s
        record.credit = TokenBucket(most / limits.window_s, most)
        ban = self._bans[key] = Ban(kind, name, identity, now, record.ends, record.bans)
        return ban

    def find(self, kind: str, name: str, identity: str, now: float) -> Ban | None:
        """Return the ban in force, if there is one."""
        ban = self._bans.get((kind, name, identity))
        return ban if ban is not None and now < ban.ends else None

    def lift(self, kind: str, name: str, identity: str = "") -> bool:
        """End a ban and forget what led to it; say whether there was one."""
        self._records.pop((kind, name, identity), None)
        return self._bans.pop((kind, name, identity), None) is not None

    def expire(self, now: float) -> list[Ban]:
        """Return the bans that have ended, each once; also the oldest of too many to remember."""
        over = [key for key, ban in self._bans.items() if ban.ends <= now]
        ended = [self._bans.pop(key) for key in over]
        for key in list(self._bans)[: max(0, len(self._bans) - REMEMBERED)]:
            ended.append(self._bans.pop(key))
        return ended

    def __iter__(self) -> Iterator[Ban]:
        return iter(list(self._bans.values()))

    def __len__(self) -> int:
        return len(self._bans)
