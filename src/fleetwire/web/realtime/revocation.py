"""WatchedServer: a server that tells when the connections of an identity are to end.

Accounts and keys end what MQTT clients have open, after each commit that takes access away. Who
follows events must hear of the same moment, whether or not a client of that identity is connected.
"""

from collections.abc import Callable

from fleetwire.net.server import Server


class WatchedServer(Server):
    """Calls `identity_ended` with each identity that loses its connections."""

    identity_ended: Callable[[str], None] | None = None

    def disconnect_identity(self, identity: str, reason: str) -> int:
        """Close all connections of an identity; return how many there were."""
        if self.identity_ended is not None:
            self.identity_ended(identity)
        return super().disconnect_identity(identity, reason)
