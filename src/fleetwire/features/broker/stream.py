"""A trace as Server-Sent Events."""

import time
from collections.abc import AsyncGenerator, Callable

import msgspec

from fleetwire.kit.instants import iso
from fleetwire.net.trace import Line, Trace

SIGN_OF_LIFE_S = 15.0  # proxies cut what is silent for a minute or less


async def events(
    trace: Trace, end: Callable[[], None], sign_of_life_s: float = SIGN_OF_LIFE_S
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a trace until it is over, then `end`; it is ended in any case."""
    try:
        yield b": trace is on\n\n"
        while not trace.is_over(time.monotonic()):
            left_s = trace.ends_at - time.monotonic()
            lines, left_out = await trace.take(max(0.0, min(sign_of_life_s, left_s)))
            if lines or left_out:
                yield _encode(lines, left_out)
            elif not trace.is_over(time.monotonic()):
                yield b": still on\n\n"
        lines, left_out = await trace.take(0)
        yield _encode(lines, left_out) + _event("end", {})
    finally:
        end()


def _encode(lines: list[Line], left_out: int) -> bytes:
    text = b"".join([_event("packet", _shown(line)) for line in lines])
    if left_out:
        text += _event("left_out", {"packets": left_out})
    return text


def _shown(line: Line) -> dict[str, object]:
    return {
        "at": iso(line.at),
        "client_id": line.client_id,
        "remote": line.remote,
        "direction": line.direction,
        "packet": line.packet,
        **line.detail,
    }


def _event(name: str, content: dict[str, object]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(content))
