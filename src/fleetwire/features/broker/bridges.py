"""BridgesService: the bridges to other brokers."""

from fleetwire.features.broker.ownership import sees_nobodys
from fleetwire.kit.services import Caller
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.status import BridgeStatus

READ = "broker.read"


class BridgesService:
    """Shows how they are; they belong to no organisation."""

    def __init__(self, bridges: Bridges) -> None:
        self._bridges = bridges

    def list(self, caller: Caller) -> list[BridgeStatus]:
        """Return each bridge, in the order of the settings; none to who may not see them."""
        caller.require(READ)
        return self._bridges.status() if sees_nobodys(caller) else []
