"""What the disk alone can do, for judging the latency of durable acknowledgements.

No server can acknowledge a stored message sooner than the disk confirms a write. So the same pace
is put on a file: for each message one write of the size that a small commit puts into SQLite's log,
in place, in a file that was written before, and fdatasync. Late writes count from when they were
due, as late messages do.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

COMMIT_BYTES = 12 * 1024  # three pages: a leaf of the table, one of the index, one of a neighbour
FILE_BYTES = 4 * 1024 * 1024  # as SQLite's log before it begins anew


@dataclass(frozen=True)
class Paced:
    """Times in milliseconds from when a write was due until it was confirmed."""

    p50_ms: float
    p99_ms: float
    longest_ms: float


def paced_writes(folder: Path, rate: int, seconds: float) -> Paced:
    """Write durably at `rate` per second; what is overdue shares the next write, as in a group."""
    path = folder / "paced"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        os.pwrite(descriptor, bytes(FILE_BYTES), 0)
        os.fsync(descriptor)
        return _paced(descriptor, rate, int(rate * seconds))
    finally:
        os.close(descriptor)
        path.unlink()


def _paced(descriptor: int, rate: int, count: int) -> Paced:
    took: list[float] = []
    block = bytes(COMMIT_BYTES)
    position = 0
    began = time.perf_counter()
    while len(took) < count:
        wait_s = began + len(took) / rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        due = min(count, int((time.perf_counter() - began) * rate) + 1)
        os.pwrite(descriptor, block, position)
        os.fdatasync(descriptor)
        position = (position + COMMIT_BYTES) % (FILE_BYTES - COMMIT_BYTES)
        done = time.perf_counter()
        took += [done - (began + number / rate) for number in range(len(took), due)]
    took.sort()
    return Paced(
        took[count // 2] * 1000, took[min(count - 1, count * 99 // 100)] * 1000, took[-1] * 1000
    )


def flush_ms(folder: Path, times: int = 40) -> float:
    """Return how long this folder's disk takes for one small durable write (the median)."""
    path = folder / "flush"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            started = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    path.unlink()
    return sorted(took)[times // 2] * 1000
