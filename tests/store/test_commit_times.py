"""Commits are counted by how long they took."""

from fleetwire.store.commit_times import BOUNDS_S, CommitTimes


def test_each_commit_counts_in_its_bound_and_all_above() -> None:
    times = CommitTimes()
    for seconds in (0.0005, 0.0006, 99.0):
        times.add(seconds)
    counts = dict(times.cumulative())
    assert counts["0.0005"] == 1
    assert counts["0.001"] == counts["2.5"] == 2
    assert counts["+Inf"] == 3
    assert len(counts) == len(BOUNDS_S) + 1
