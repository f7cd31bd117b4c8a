"""WatchedServer: a server that tells when the connections of an identity are to end.

Accounts and keys end what MQTT clients have open, after each commit that takes access away. Who
follows events or traces must hear of the same moment, whether or not a client of that identity is
connected.
"""

from collections.abc import Callable
from typing import Any

from fleetwire.net.server import Server


class WatchedServer(Server):
    """Calls each of `identity_watchers` with each identity that loses its connections."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.identity_watchers: list[Callable[[str], None]] = []

    def disconnect_identity(self, identity: str, reason: str) -> int:
        """Close all connections of an identity; return how many there were."""
        for watcher in self.identity_watchers:
            watcher(identity)
        return super().disconnect_identity(identity, reason)
