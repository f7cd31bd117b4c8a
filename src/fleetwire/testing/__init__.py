"""For the tests of apps."""

from fleetwire.testing.device import HubDevice, Received
from fleetwire.testing.hub import TestHub
from fleetwire.testing.simulated import simulated

__all__ = ["HubDevice", "Received", "TestHub", "simulated"]
