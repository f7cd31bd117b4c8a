"""Who connects again and again is kept out, longer each time, and let in again."""

import pytest

from fleetwire.net import bans
from fleetwire.net.bans import ADDRESS, CLIENT, Ban, BanLimits, BanList

LIMITS = BanLimits(client_connects=3, address_connects=5, window_s=60, first_s=10, longest_s=35)


def flap(ban_list: BanList, now: float, name: str = "c", identity: str = "device:d") -> Ban:
    """Connect until a ban begins."""
    for _ in range(100):
        ban = ban_list.count(CLIENT, name, identity, now)
        if ban is not None:
            return ban
    raise AssertionError("no ban came")


def test_as_many_connects_as_allowed_lead_to_no_ban() -> None:
    ban_list = BanList(LIMITS)
    assert [ban_list.count(CLIENT, "c", "i", 0.0) for _ in range(3)] == [None] * 3
    assert ban_list.count(CLIENT, "c", "i", 0.0) == Ban(CLIENT, "c", "i", 0.0, 10.0, 1)


def test_a_client_that_reconnects_now_and_then_is_never_banned() -> None:
    ban_list = BanList(LIMITS)
    assert not any(ban_list.count(CLIENT, "c", "i", at * 20.0) for at in range(1000))


def test_each_further_ban_lasts_twice_as_long_up_to_the_longest() -> None:
    ban_list = BanList(LIMITS)
    now, lasted = 0.0, []
    for _ in range(5):
        ban = flap(ban_list, now)
        lasted.append(ban.ends - ban.began)
        now = ban.ends
        assert ban_list.expire(now) == [ban]
    assert lasted == [10, 20, 35, 35, 35]


def test_after_a_quiet_time_bans_begin_short_again() -> None:
    ban_list = BanList(LIMITS)
    first = flap(ban_list, 0.0)
    ban_list.expire(first.ends)
    second = flap(ban_list, first.ends + LIMITS.longest_s + 1)
    assert second.ends - second.began == 10


def test_attempts_during_a_ban_do_not_make_it_longer() -> None:
    ban_list = BanList(LIMITS)
    ban = flap(ban_list, 0.0)
    assert not any(ban_list.count(CLIENT, "c", "device:d", 5.0) for _ in range(100))
    assert ban_list.find(CLIENT, "c", "device:d", 9.9) == ban
    assert ban_list.find(CLIENT, "c", "device:d", 10.0) is None


def test_a_ban_is_of_one_identitys_client_id_only() -> None:
    ban_list = BanList(LIMITS)
    flap(ban_list, 0.0)
    assert ban_list.find(CLIENT, "c", "device:other", 1.0) is None
    assert ban_list.find(CLIENT, "d", "device:d", 1.0) is None
    assert ban_list.find(ADDRESS, "c", "device:d", 1.0) is None


def test_a_ban_ends_once() -> None:
    ban_list = BanList(LIMITS)
    ban = flap(ban_list, 0.0)
    assert ban_list.expire(9.0) == []
    assert ban_list.expire(10.0) == [ban]
    assert ban_list.expire(11.0) == []


def test_a_lifted_ban_is_gone_with_what_led_to_it() -> None:
    ban_list = BanList(LIMITS)
    flap(ban_list, 0.0)
    assert [ban.name for ban in ban_list] == ["c"]
    assert ban_list.lift(CLIENT, "c", "device:d")
    assert len(ban_list) == 0
    assert not ban_list.lift(CLIENT, "c", "device:d")
    assert flap(ban_list, 1.0).count == 1


def test_without_a_number_nobody_is_banned() -> None:
    ban_list = BanList(BanLimits(client_connects=0))
    assert not any(ban_list.count(CLIENT, "c", "i", 0.0) for _ in range(1000))


def test_addresses_are_left_alone_by_default() -> None:
    ban_list = BanList(BanLimits())
    assert not any(ban_list.count(ADDRESS, "1.2.3.4", "", 0.0) for _ in range(10_000))


def test_who_connects_most_often_is_not_the_one_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "REMEMBERED", 10)
    ban_list = BanList(LIMITS)
    for number in range(3):
        assert ban_list.count(CLIENT, "c", "i", 0.0) is None
        for other in range(9):
            ban_list.count(CLIENT, f"{number}-{other}", "i", 0.0)
    assert ban_list.count(CLIENT, "c", "i", 0.0) is not None


def test_names_and_bans_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "REMEMBERED", 10)
    ban_list = BanList(LIMITS)
    for number in range(50):
        flap(ban_list, 0.0, name=f"c{number}")
    assert len(ban_list._records) == 10
    ended = ban_list.expire(1.0)
    assert len(ban_list) == 10
    assert [ban.name for ban in ended] == [f"c{number}" for number in range(40)]
