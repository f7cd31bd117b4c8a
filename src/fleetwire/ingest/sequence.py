"""The one ascending sequence behind readings and device events: order of commit, and cursor."""


class Sequence:
    """Hands out ids in commit order. Only the writer's thread takes, so no lock is needed.

    A rolled-back transaction leaves a gap in the numbers, never a repetition.
    """

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def take(self, count: int = 1) -> int:
        """Return the first of `count` new ids."""
        first = self.last + 1
        self.last += count
        return first
