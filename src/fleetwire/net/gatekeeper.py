"""Gatekeeper: who may come in, how many, and how often; counted by reason.

    arrive (a socket) -> connect (its CONNECT) -> recognise (who it is) -> enter (accepted)
                                                   -> part (its session) -> leave (the socket)

Before somebody is recognised only the address is known, and any client id can be claimed. So what
is counted against a client id is counted once its CONNECT was accepted, per identity: nobody can
get another one banned. An anonymous client id belongs to nobody, and is never banned.

An IPv6 address counts as its /64, which is what one customer gets. A connection without an address
(a Unix socket) is bound by no limit per address.

`now` is in seconds of a clock that does not run backwards. Logs when a bound is met: each reason
at once, then at most every ten seconds with how often.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from fleetwire.net.bans import ADDRESS, CLIENT, Ban, BanLimits, BanList
from fleetwire.net.meter import TokenBucket
from fleetwire.protocol import constants as c

log = structlog.get_logger("fleetwire.net")

ADDRESSES = 10_000  # whose CONNECT rate is remembered; the one seen longest ago is forgotten first
LOG_EVERY_S = 10.0

# The reasons, as `counts` names them.
TOO_MANY_OPENING = "too many connections without an accepted CONNECT"
TOO_MANY_OF_ADDRESS = "too many connections of one address"
TOO_MANY_OF_IDENTITY = "too many connections of one identity"
CONNECT_RATE = "too many CONNECT a second"
CONNECT_RATE_OF_ADDRESS = "too many CONNECT a second of one address"
BANNED_ADDRESS = "the address is banned"
BANNED_CLIENT = "the client id is banned"
BANS = "bans begun"
NO_CONNECT = "no CONNECT in time"
PAUSED = "pauses of clients over their rate"


@dataclass(frozen=True)
class GateLimits:
    """Bounds at the door; 0 = none. `connect_burst_s` is saved up in seconds of the rate."""

    # Enough for a fleet of ten thousand that comes back all at once; each holds at most a CONNECT.
    opening: int = 20_000
    per_address: int = 0
    per_identity: int = 0
    connects_per_s: int = 0
    connects_per_s_per_address: int = 0
    connect_burst_s: int = 5
    bans: BanLimits = field(default_factory=BanLimits)


@dataclass(frozen=True)
class Refusal:
    """Why a CONNECT is refused, with the MQTT 5 reason code of its CONNACK."""

    reason: str
    reason_code: int


class Guest(Protocol):
    """A connection, as the gatekeeper sees it."""

    def turn_out(self) -> None:
        """Close at once, without a word."""


class Gatekeeper:
    """Judges connections and counts what it refused."""

    def __init__(self, limits: GateLimits) -> None:
        self.limits = limits
        self.counts: dict[str, int] = {}
        self.bans = BanList(limits.bans)
        self._opening: dict[Guest, None] = {}  # in the order in which they came
        self._addresses: dict[Guest, str] = {}
        self._of_address: dict[str, int] = {}
        self._identities: dict[Guest, str] = {}
        self._of_identity: dict[str, int] = {}
        self._connects = _bucket(limits.connects_per_s, limits.connect_burst_s)
        self._connects_of: OrderedDict[str, TokenBucket] = OrderedDict()
        self._logged_at: dict[str, float] = {}  # by reason
        self._logged: dict[str, int] = {}  # what `counts` said then

    @property
    def opening(self) -> int:
        """How many connections have no accepted CONNECT."""
        return len(self._opening)

    # --- the way of a connection ---

    def arrive(self, guest: Guest, remote: str, now: float) -> str:
        """Judge a new connection from `remote` (`host:port`); return why it is closed, or "".

        If too many have no accepted CONNECT yet the one that came first is turned out.
        """
        limits = self.limits
        if limits.per_address or limits.bans.address_connects:
            address = address_of(remote)
            if address:
                if self.bans.find(ADDRESS, address, "", now) is not None:
                    return self._refused(BANNED_ADDRESS, now, remote)
                here = self._of_address.get(address, 0)
                if limits.per_address and here >= limits.per_address:
                    return self._refused(TOO_MANY_OF_ADDRESS, now, remote)
                self._addresses[guest] = address
                self._of_address[address] = here + 1
        self._opening[guest] = None
        if limits.opening and len(self._opening) > limits.opening:
            oldest = next(iter(self._opening))
            del self._opening[oldest]
            self._refused(TOO_MANY_OPENING, now, remote)
            oldest.turn_out()
        return ""

    def connect(self, remote: str, now: float) -> Refusal | None:
        """Judge a CONNECT before anybody asks whose it is; return why it is refused."""
        limits = self.limits
        if limits.connects_per_s_per_address or limits.bans.address_connects:
            address = address_of(remote)
            if address:
                refusal = self._connect_of(address, remote, now)
                if refusal is not None:
                    return refusal
        if self._connects is not None and not self._connects.take(now):
            reason = self._refused(CONNECT_RATE, now, remote)
            return Refusal(reason, c.CONNECTION_RATE_EXCEEDED)
        return None

    def _connect_of(self, address: str, remote: str, now: float) -> Refusal | None:
        limits = self.limits
        ban = self.bans.count(ADDRESS, address, "", now)
        if ban is not None:
            self._tell_ban(ban)
        if self.bans.find(ADDRESS, address, "", now) is not None:
            return Refusal(self._refused(BANNED_ADDRESS, now, remote), c.BANNED)
        rate = limits.connects_per_s_per_address
        if not rate:
            return None
        bucket = self._connects_of.get(address)
        if bucket is None:
            bucket = TokenBucket(rate, rate * limits.connect_burst_s)
            self._connects_of[address] = bucket
            if len(self._connects_of) > ADDRESSES:
                self._connects_of.popitem(last=False)
        else:
            self._connects_of.move_to_end(address)
        if bucket.take(now):
            return None
        reason = self._refused(CONNECT_RATE_OF_ADDRESS, now, remote)
        return Refusal(reason, c.CONNECTION_RATE_EXCEEDED)

    def recognise(
        self, identity: str, client_id: str, now: float, *, takes_over: bool
    ) -> Refusal | None:
        """Judge a client that has shown who it is; return why it is refused, which its CONNACK and
        the log then say.

        `identity` is empty for an anonymous one. `takes_over` says that it takes the place of one
        of the identity's connections.
        """
        if not identity:
            return None
        if self.bans.find(CLIENT, client_id, identity, now) is not None:
            self.count(BANNED_CLIENT)
            return Refusal(BANNED_CLIENT, c.BANNED)
        most = self.limits.per_identity
        if most and self._of_identity.get(identity, 0) - takes_over >= most:
            self.count(TOO_MANY_OF_IDENTITY)
            return Refusal(TOO_MANY_OF_IDENTITY, c.QUOTA_EXCEEDED)
        return None

    def enter(self, guest: Guest, identity: str, client_id: str, now: float) -> None:
        """Note that a CONNECT was accepted; `identity` is empty for an anonymous client."""
        self._opening.pop(guest, None)
        if not identity:
            return
        if self.limits.per_identity:
            self._identities[guest] = identity
            self._of_identity[identity] = self._of_identity.get(identity, 0) + 1
        ban = self.bans.count(CLIENT, client_id, identity, now)
        if ban is not None:
            self._tell_ban(ban)

    def part(self, guest: Guest) -> None:
        """Note that a connection has left its session; its socket may still be closing."""
        identity = self._identities.pop(guest, None)
        if identity is not None:
            _count_down(self._of_identity, identity)

    def leave(self, guest: Guest) -> None:
        """Note that a connection has ended."""
        self.part(guest)
        self._opening.pop(guest, None)
        address = self._addresses.pop(guest, None)
        if address is not None:
            _count_down(self._of_address, address)

    # --- bans ---

    def lift(self, kind: str, name: str, identity: str = "") -> bool:
        """End a ban (`client` or `address`) now; say whether there was one."""
        lifted = self.bans.lift(kind, name, identity)
        if lifted:
            log.info("ban lifted", kind=kind, name=name[:64], identity=identity)
        return lifted

    def tick(self, now: float) -> None:
        """End the bans whose time has come; call about once a second."""
        for ban in self.bans.expire(now):
            log.info("ban ended", kind=ban.kind, name=ban.name[:64], identity=ban.identity)

    def _tell_ban(self, ban: Ban) -> None:
        self.counts[BANS] = self.counts.get(BANS, 0) + 1
        log.warning(
            "banned for connecting again and again",
            kind=ban.kind,
            name=ban.name[:64],
            identity=ban.identity,
            seconds=round(ban.ends - ban.began),
        )

    # --- counting ---

    def count(self, reason: str) -> None:
        """Count something that the gatekeeper itself did not decide."""
        self.counts[reason] = self.counts.get(reason, 0) + 1

    def _refused(self, reason: str, now: float, remote: str) -> str:
        """Count a refusal, and log it unless its reason was logged just now; return the reason."""
        count = self.counts[reason] = self.counts.get(reason, 0) + 1
        if now - self._logged_at.get(reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            times = count - self._logged.get(reason, 0)
            self._logged_at[reason] = now
            self._logged[reason] = count
            log.warning("connections refused", reason=reason, times=times, remote=remote)
        return reason


def address_of(remote: str) -> str:
    """Return the address that `host:port` counts as, "" if there is none.

    An IPv4 address in IPv6 form counts as itself, any other IPv6 address as its /64.
    """
    host = remote.rpartition(":")[0].partition("%")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return host


def _bucket(rate: int, burst_s: int) -> TokenBucket | None:
    return TokenBucket(rate, rate * burst_s) if rate else None


def _count_down(counts: dict[str, int], key: str) -> None:
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]
