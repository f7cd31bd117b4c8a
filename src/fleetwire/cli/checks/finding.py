"""Finding: what a check found, and what to do about it."""

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["good", "notice", "wrong"]

TIMEOUT_S = 5.0  # for what a check waits for


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, what was found, what to do."""

    about: str
    level: Level
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it for a program."""
        return asdict(self)
