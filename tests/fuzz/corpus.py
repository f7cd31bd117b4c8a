"""The inputs that are kept: each reaches a line after a line that no smaller one reached."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import check, seed
from tests.protocol.vectors import VECTORS

FOLDER = Path(__file__).parent / "corpus"
LARGEST_BYTES = 1_500  # larger inputs say nothing new and cost time at each replay

Step = tuple[str, int, int]


def seeds() -> Iterator[bytes]:
    """Yield the hand-written packets, each alone, doubled, and in small pieces."""
    for vector in VECTORS:
        version = 0 if vector.data[0] >> 4 == 1 else vector.version
        yield seed(version, vector.from_client, 32, vector.data)
        yield seed(version, vector.from_client, 3, vector.data * 2)


def steps(data: bytes) -> set[Step]:
    """Run an input; return which line of the protocol came after which. Raises what it raises."""
    found: set[Step] = set()
    last = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal last
        name = frame.f_code.co_filename
        if "/fleetwire/protocol/" not in name:
            return None
        found.add((name, last, frame.f_lineno))
        last = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        check(data)
    finally:
        sys.settrace(before)
    return found


def minimised(inputs: list[bytes]) -> list[bytes]:
    """Return those that reach something the smaller ones do not."""
    reached: set[Step] = set()
    kept = []
    for data in sorted({data for data in inputs if len(data) <= LARGEST_BYTES}, key=_smallest):
        new = steps(data) - reached
        if new:
            reached |= new
            kept.append(data)
    return kept


def _smallest(data: bytes) -> tuple[int, bytes]:
    return len(data), data


def read(folder: Path) -> list[bytes]:
    """Return the inputs of a folder, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


def store(inputs: list[bytes], folder: Path) -> None:
    """Make the folder hold these inputs and no others."""
    wanted = {hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]: data for data in inputs}
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, data in wanted.items():
        (folder / name).write_bytes(data)
