"""Wills: those that are due later (MQTT 5.0 §3.1.3.2.2, Will Delay Interval)."""

from fleetwire.broker.session import Session
from fleetwire.protocol.packets import Publish


class DelayedWill:
    """A Will whose connection has ended and whose delay has not; `due_at` in microseconds UTC."""

    __slots__ = ("due_at", "sender", "will")

    def __init__(self, sender: Session, will: Publish, due_at: int) -> None:
        self.sender = sender
        self.will = will
        self.due_at = due_at


class Wills:
    """One at most for each Client Identifier, which is the rule for sessions too."""

    def __init__(self) -> None:
        self._by_client: dict[str, DelayedWill] = {}

    def __len__(self) -> int:
        return len(self._by_client)

    def add(self, sender: Session, will: Publish, due_at: int) -> None:
        """Keep a Will until it is due."""
        self._by_client[sender.client_id] = DelayedWill(sender, will, due_at)

    def take(self, client_id: str) -> DelayedWill | None:
        """Remove and return the Will of a client that came back, or whose session ended."""
        return self._by_client.pop(client_id, None)

    def take_due(self, now: int) -> list[DelayedWill]:
        """Remove and return those that are due, the earliest first."""
        due = [delayed for delayed in self._by_client.values() if delayed.due_at <= now]
        for delayed in due:
            del self._by_client[delayed.sender.client_id]
        due.sort(key=lambda delayed: delayed.due_at)
        return due
