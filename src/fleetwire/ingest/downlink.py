"""Moved to fleetwire.net.clients."""

from fleetwire.net.clients import Client, ClientObserver, Downlink

__all__ = ["Client", "ClientObserver", "Downlink"]
