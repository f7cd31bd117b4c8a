"""Repeats: a log line that many clients can cause is written once in a while, with a count."""

from collections import OrderedDict

WINDOW_S = 10.0
REMEMBERED = 1024  # kinds of lines; a flood from more addresses forgets the oldest


class _Line:
    __slots__ = ("left_out", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.left_out = 0


class Repeats:
    """Which lines were written lately. `now` is in seconds of the monotonic clock."""

    def __init__(self, window_s: float = WINDOW_S, remembered: int = REMEMBERED) -> None:
        self._window_s = window_s
        self._remembered = remembered
        self._lines: OrderedDict[tuple[str, str], _Line] = OrderedDict()
        self._forgotten = 0  # left out, and forgotten before it could be said

    def note(self, remote: str, reason: str, now: float) -> int | None:
        """Return None if this line is left out, else how many like it were left out before.

        Lines are alike if they are of one address (`remote` is `host:port`) and one reason.
        """
        key = (remote.rpartition(":")[0], reason)
        line = self._lines.get(key)
        if line is not None and now - line.since < self._window_s:
            line.left_out += 1
            return None
        if line is not None:
            del self._lines[key]
        elif len(self._lines) >= self._remembered:
            _, oldest = self._lines.popitem(last=False)
            self._forgotten += oldest.left_out
        self._lines[key] = _Line(now)
        return 0 if line is None else line.left_out

    def take_overdue(self, now: float) -> list[tuple[str, str, int]]:
        """Return (address, reason, how many) of lines left out that nothing like them has told.

        Address and reason are empty for what had to be forgotten.
        """
        overdue = []
        while self._lines:
            (address, reason), line = next(iter(self._lines.items()))  # the oldest
            if now - line.since < self._window_s:
                break
            del self._lines[address, reason]
            if line.left_out:
                overdue.append((address, reason, line.left_out))
        if self._forgotten:
            overdue.append(("", "", self._forgotten))
            self._forgotten = 0
        return overdue
