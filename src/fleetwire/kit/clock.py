"""Clock: what time it is, where tests shall be able to move it."""

from collections.abc import Callable


class Clock:
    """The house's wall clock, asked for by type as a service; a TestHub moves it.

    A deadline that is compared with `instants.now()` passes in real time only.
    """

    __slots__ = ("_now",)

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    def now(self) -> int:
        """Return the present in microseconds UTC."""
        return self._now()
