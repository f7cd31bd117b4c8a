"""Settings: validated once, frozen, and the only reader of the environment.

What comes later here wins:

    defaults < fleetwire.toml < .env < environment < command line

An empty variable counts as not set. Every mistake raises SettingsError with one line that names the
setting, where its value came from, and what to change.
"""

from fleetwire.settings.loading import load
from fleetwire.settings.places import BrokerAddress, is_loopback, reachable_at
from fleetwire.settings.secret import secret_file
from fleetwire.settings.sections import (
    KNOWN,
    MASK,
    NOT_SET,
    VARIABLES,
    AuthSettings,
    BrokerSettings,
    ClientSettings,
    IngestSettings,
    ProxySettings,
    Settings,
    StoreSettings,
    TLSSettings,
    TracingSettings,
)

__all__ = [
    "KNOWN",
    "MASK",
    "NOT_SET",
    "VARIABLES",
    "AuthSettings",
    "BrokerAddress",
    "BrokerSettings",
    "ClientSettings",
    "IngestSettings",
    "ProxySettings",
    "Settings",
    "StoreSettings",
    "TLSSettings",
    "TracingSettings",
    "is_loopback",
    "load",
    "reachable_at",
    "secret_file",
]
