"""CommandObserver: who follows commands from their request to their device."""

from abc import ABC, abstractmethod


class CommandObserver(ABC):
    """Told in the context of who asks. Must not raise."""

    @abstractmethod
    def requested(self, command_id: str) -> None:
        """Take note that a command is about to be stored; it may still fail."""

    @abstractmethod
    def properties(self, command_id: str) -> list[tuple[str, str]]:
        """Return the User Properties that the device gets with it."""
