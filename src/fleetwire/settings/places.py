"""Where things are: addresses to listen on, and the broker that a URL names."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

DEFAULT_MQTT_PORT = 1883
DEFAULT_MQTTS_PORT = 8883
DEFAULT_PORTS = {"mqtt": DEFAULT_MQTT_PORT, "mqtts": DEFAULT_MQTTS_PORT, "ws": 80, "wss": 443}


@dataclass(frozen=True)
class BrokerAddress:
    """Where an MQTT broker is, and who we are to it."""

    host: str
    port: int
    is_tls: bool
    username: str | None
    password: str | None = field(repr=False)
    websocket: str | None = None  # the path of a WebSocket

    @classmethod
    def of(cls, url: str) -> "BrokerAddress":
        """Return the address in a URL such as `mqtts://name:password@host:8883`."""
        parts = urlsplit(url)
        path = (parts.path or "/mqtt") + (f"?{parts.query}" if parts.query else "")
        return cls(
            parts.hostname or "",
            parts.port or DEFAULT_PORTS[parts.scheme],
            parts.scheme in ("mqtts", "wss"),
            None if parts.username is None else unquote(parts.username),
            None if parts.password is None else unquote(parts.password),
            path if parts.scheme in ("ws", "wss") else None,
        )

    @property
    def scheme(self) -> str:
        """How it is spoken to: mqtt, mqtts, ws or wss."""
        plain, encrypted = ("mqtt", "mqtts") if self.websocket is None else ("ws", "wss")
        return encrypted if self.is_tls else plain


def reachable_at(bind: str) -> str:
    """Return the address at which this machine itself reaches a listener on `bind`."""
    if bind in ("0.0.0.0", "localhost"):
        return "127.0.0.1"
    return "::1" if bind == "::" else bind


def is_loopback(bind: str) -> bool:
    """Say whether only this machine can reach a listener on this address."""
    return bind == "localhost" or ipaddress.ip_address(bind).is_loopback
