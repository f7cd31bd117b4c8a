"""Who may come in, how many, how often: the gatekeeper alone, with the time given."""

import pytest
from structlog.testing import capture_logs

from fleetwire.net import gatekeeper as g
from fleetwire.net.bans import ADDRESS, CLIENT, BanLimits
from fleetwire.net.gatekeeper import Gatekeeper, GateLimits, address_of
from fleetwire.protocol import constants as c

HERE = "192.0.2.1:5000"
THERE = "192.0.2.2:5000"


class Caller:
    """A connection that knows whether it was turned out."""

    def __init__(self) -> None:
        self.is_out = False

    def turn_out(self) -> None:
        self.is_out = True


def arrivals(keeper: Gatekeeper, remote: str, count: int) -> list[str]:
    return [keeper.arrive(Caller(), remote, 0.0) for _ in range(count)]


def test_by_default_ten_thousand_of_one_address_come_in_at_once() -> None:
    keeper = Gatekeeper(GateLimits())
    callers = [Caller() for _ in range(10_000)]
    for number, caller in enumerate(callers):
        assert keeper.arrive(caller, HERE, 0.0) == ""
        assert keeper.connect(HERE, 0.0) is None
        assert keeper.recognise(f"device:{number}", "c", 0.0, takes_over=False) is None
        keeper.enter(caller, f"device:{number}", f"c{number}", 0.0)
    assert not any(caller.is_out for caller in callers)
    assert keeper.counts == {}
    assert keeper.opening == 0


def test_an_address_has_as_many_connections_as_it_may() -> None:
    keeper = Gatekeeper(GateLimits(per_address=2))
    first = Caller()
    assert keeper.arrive(first, HERE, 0.0) == ""
    assert arrivals(keeper, HERE, 2) == ["", g.TOO_MANY_OF_ADDRESS]
    assert arrivals(keeper, THERE, 1) == [""]
    keeper.leave(first)
    assert arrivals(keeper, HERE, 2) == ["", g.TOO_MANY_OF_ADDRESS]
    assert keeper.counts == {g.TOO_MANY_OF_ADDRESS: 2}


def test_what_has_no_address_is_bound_by_no_limit_per_address() -> None:
    keeper = Gatekeeper(GateLimits(per_address=1, connects_per_s_per_address=1))
    assert arrivals(keeper, "local", 5) == [""] * 5
    assert all(keeper.connect("local", 0.0) is None for _ in range(50))


def test_a_refused_connection_leaves_nothing_behind() -> None:
    keeper = Gatekeeper(GateLimits(per_address=1))
    first, second = Caller(), Caller()
    keeper.arrive(first, HERE, 0.0)
    assert keeper.arrive(second, HERE, 0.0)
    keeper.leave(second)
    assert keeper.arrive(Caller(), HERE, 0.0) == g.TOO_MANY_OF_ADDRESS
    keeper.leave(first)
    assert keeper.opening == 0
    assert keeper._of_address == {}


def test_the_connection_that_has_waited_longest_makes_room() -> None:
    keeper = Gatekeeper(GateLimits(opening=2))
    accepted, old, middle, new = (Caller() for _ in range(4))
    keeper.arrive(accepted, HERE, 0.0)
    keeper.enter(accepted, "device:d", "d", 0.0)
    for caller in (old, middle, new):
        assert keeper.arrive(caller, HERE, 0.0) == ""
    assert [caller.is_out for caller in (accepted, old, middle, new)] == [False, True, False, False]
    assert keeper.opening == 2
    assert keeper.counts == {g.TOO_MANY_OPENING: 1}


def test_connects_of_one_address_come_at_its_rate() -> None:
    keeper = Gatekeeper(GateLimits(connects_per_s_per_address=2, connect_burst_s=3))
    answers = [keeper.connect(HERE, 0.0) for _ in range(7)]
    assert answers[:6] == [None] * 6
    assert answers[6] == g.Refusal(g.CONNECT_RATE_OF_ADDRESS, c.CONNECTION_RATE_EXCEEDED)
    assert keeper.connect(THERE, 0.0) is None
    assert keeper.connect(HERE, 0.5) is None
    assert keeper.connect(HERE, 0.5) is not None


def test_connects_of_all_come_at_the_rate_of_all() -> None:
    keeper = Gatekeeper(GateLimits(connects_per_s=1, connect_burst_s=2))
    answers = [keeper.connect(f"192.0.2.{n}:1", 0.0) for n in range(3)]
    assert answers == [None, None, g.Refusal(g.CONNECT_RATE, c.CONNECTION_RATE_EXCEEDED)]


def test_what_an_address_may_not_does_not_use_up_what_all_may() -> None:
    keeper = Gatekeeper(
        GateLimits(connects_per_s=10, connects_per_s_per_address=1, connect_burst_s=1)
    )
    for _ in range(100):
        keeper.connect(HERE, 0.0)
    assert keeper.connect(THERE, 0.0) is None


def test_addresses_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g, "ADDRESSES", 10)
    keeper = Gatekeeper(GateLimits(connects_per_s_per_address=1, connect_burst_s=1))
    keeper.connect(HERE, 0.0)
    for number in range(100):
        keeper.connect(f"198.51.100.{number}:1", 0.0)
        assert keeper.connect(HERE, 0.0) is not None  # seen just now: not the one forgotten
    assert len(keeper._connects_of) == 10


def test_an_identity_has_as_many_connections_as_it_may() -> None:
    keeper = Gatekeeper(GateLimits(per_identity=1))
    refusal = g.Refusal(g.TOO_MANY_OF_IDENTITY, c.QUOTA_EXCEEDED)
    first = Caller()
    keeper.enter(first, "device:d", "a", 0.0)
    assert keeper.recognise("device:d", "b", 0.0, takes_over=False) == refusal
    assert keeper.recognise("device:e", "b", 0.0, takes_over=False) is None
    assert keeper.recognise("device:d", "a", 0.0, takes_over=True) is None
    keeper.part(first)
    assert keeper.recognise("device:d", "b", 0.0, takes_over=False) is None


def test_a_connection_that_parts_and_then_leaves_is_counted_down_once() -> None:
    keeper = Gatekeeper(GateLimits(per_identity=2))
    first, second = Caller(), Caller()
    for caller in (first, second):
        keeper.enter(caller, "device:d", "a", 0.0)
    keeper.part(first)
    keeper.leave(first)
    assert keeper._of_identity == {"device:d": 1}
    keeper.leave(second)
    assert keeper._of_identity == {}


def test_anonymous_clients_share_no_limit_and_are_never_banned() -> None:
    keeper = Gatekeeper(GateLimits(per_identity=1, bans=BanLimits(client_connects=1)))
    for _ in range(10):
        keeper.enter(Caller(), "", "c", 0.0)
    assert keeper.recognise("", "c", 0.0, takes_over=False) is None


def test_a_flapping_client_is_banned_with_one_line_at_the_beginning_and_one_at_the_end() -> None:
    keeper = Gatekeeper(GateLimits(bans=BanLimits(client_connects=3, first_s=10)))
    with capture_logs() as lines:
        for _ in range(4):
            assert keeper.recognise("device:d", "c", 0.0, takes_over=False) is None
            keeper.enter(Caller(), "device:d", "c", 0.0)
        for _ in range(5):
            refusal = keeper.recognise("device:d", "c", 1.0, takes_over=False)
            assert refusal == g.Refusal(g.BANNED_CLIENT, c.BANNED)
        keeper.tick(9.9)
        keeper.tick(10.0)
        keeper.tick(11.0)
    assert keeper.recognise("device:d", "c", 10.0, takes_over=False) is None
    assert [line["event"] for line in lines] == [
        "banned for connecting again and again",
        "ban ended",
    ]
    assert lines[0]["seconds"] == 10
    assert keeper.counts == {g.BANS: 1, g.BANNED_CLIENT: 5}


def test_nobody_gets_another_ones_client_id_banned() -> None:
    keeper = Gatekeeper(GateLimits(bans=BanLimits(client_connects=1)))
    for _ in range(100):
        keeper.connect(THERE, 0.0)  # whoever it is, it never shows who it is
        keeper.enter(Caller(), "device:rival", "c", 0.0)
    assert keeper.recognise("device:rival", "c", 0.0, takes_over=False) is not None
    assert keeper.recognise("device:owner", "c", 0.0, takes_over=False) is None


def test_a_flapping_address_is_banned_let_in_or_not() -> None:
    keeper = Gatekeeper(GateLimits(bans=BanLimits(address_connects=3, first_s=10)))
    assert [keeper.connect(HERE, 0.0) for _ in range(3)] == [None] * 3
    assert keeper.connect(HERE, 0.0) == g.Refusal(g.BANNED_ADDRESS, c.BANNED)
    assert arrivals(keeper, HERE, 1) == [g.BANNED_ADDRESS]
    assert arrivals(keeper, THERE, 1) == [""]
    [ban] = keeper.bans
    assert (ban.kind, ban.name) == (ADDRESS, "192.0.2.1")
    assert keeper.lift(ADDRESS, "192.0.2.1")
    assert arrivals(keeper, HERE, 1) == [""]


def test_lifting_lets_a_client_in_at_once() -> None:
    keeper = Gatekeeper(GateLimits(bans=BanLimits(client_connects=1)))
    for _ in range(2):
        keeper.enter(Caller(), "device:d", "c", 0.0)
    assert keeper.recognise("device:d", "c", 0.0, takes_over=False) is not None
    assert not keeper.lift(CLIENT, "c", "device:other")
    assert keeper.lift(CLIENT, "c", "device:d")
    assert keeper.recognise("device:d", "c", 0.0, takes_over=False) is None


def test_a_flood_of_refusals_writes_few_lines_that_say_how_many() -> None:
    keeper = Gatekeeper(GateLimits(per_address=1))
    arrivals(keeper, HERE, 1)
    with capture_logs() as lines:
        for tenth in range(250):
            keeper.arrive(Caller(), HERE, tenth / 10)
    assert [line["times"] for line in lines] == [1, 100, 100]
    assert keeper.counts[g.TOO_MANY_OF_ADDRESS] == 250


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("192.0.2.1:1883", "192.0.2.1"),
        ("[2001:db8:1:2:3:4:5:6]:1883", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:ffff::1]:9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1:1883", "2001:db8:1:3::/64"),
        ("[::ffff:192.0.2.1]:1883", "192.0.2.1"),
        ("[fe80::1%eth0]:1", "fe80::/64"),
        ("local", ""),
        ("", ""),
        ("unix:/run/x", ""),
    ],
)
def test_an_address_is_taken_from_what_the_socket_says(remote: str, address: str) -> None:
    assert address_of(remote) == address
