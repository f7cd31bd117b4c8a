"""HubClock: time that moves when a test says so."""

from fleetwire.kit import instants


class HubClock:
    """The wall clock of a TestHub, in microseconds UTC. It begins at the present."""

    def __init__(self) -> None:
        self.at = instants.now()

    def __call__(self) -> int:
        return self.at
