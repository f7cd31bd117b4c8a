"""The MQTT listeners that the settings ask for."""

from collections.abc import Mapping

from fleetwire.net.proxy import ProxyPolicy
from fleetwire.net.server import Server
from fleetwire.net.tls import ServerCertificate, TLSFiles
from fleetwire.runtime.source import SourceServer
from fleetwire.settings import Settings


def certificate_of(settings: Settings) -> ServerCertificate | None:
    """Return the server's certificate, None without one. Raises SettingsError."""
    tls = settings.tls
    if tls.certificate is None or tls.key is None:
        return None
    return ServerCertificate(
        TLSFiles(tls.certificate, tls.key, tls.client_ca, tls.client_certificate, tls.min_version)
    )


async def listen(
    settings: Settings, server: Server, certificate: ServerCertificate | None
) -> dict[str, int]:
    """Open all of them; return their ports by name. Raises SettingsError.

    None are opened where devices are at another broker.
    """
    if isinstance(server, SourceServer):
        server.open()
        return {}
    allowed = settings.is_anonymous_allowed
    ports = {
        "mqtt": await server.listen_tcp(
            settings.bind_of("tcp"),
            settings.mqtt_port,
            anonymous_allowed=allowed("tcp"),
            proxy=_proxy(settings, "tcp"),
        ),
        "mqtt_ws": await server.listen_websocket(
            settings.bind_of("ws"),
            settings.mqtt_ws_port,
            anonymous_allowed=allowed("ws"),
            proxy=_proxy(settings, "ws"),
        ),
    }
    if certificate is not None and settings.mqtt_tls_port is not None:
        ports["mqtts"] = await server.listen_tcp(
            settings.bind_of("tls"),
            settings.mqtt_tls_port,
            anonymous_allowed=allowed("tls"),
            certificate=certificate,
            proxy=_proxy(settings, "tls"),
        )
    if certificate is not None and settings.mqtt_wss_port is not None:
        ports["mqtt_wss"] = await server.listen_websocket(
            settings.bind_of("wss"),
            settings.mqtt_wss_port,
            anonymous_allowed=allowed("wss"),
            certificate=certificate,
            proxy=_proxy(settings, "wss"),
        )
    if settings.mqtt_unix is not None:
        await server.listen_unix(
            settings.mqtt_unix,
            mode=int(settings.mqtt_unix_mode, 8),
            anonymous_allowed=allowed("unix"),
            proxy=_proxy(settings, "unix"),
        )
    return ports


def urls(settings: Settings, ports: dict[str, int]) -> list[tuple[str, str]]:
    """Return the listeners and where they are, for people to read."""
    found = []
    broker = settings.external_broker
    if broker is not None:
        host = f"[{broker.host}]" if ":" in broker.host else broker.host
        found.append(("External broker", f"{broker.scheme}://{host}:{broker.port}"))
        return found
    for name, kind, title, form in (
        ("mqtt", "tcp", "MQTT", "mqtt://{}"),
        ("mqtts", "tls", "MQTT over TLS", "mqtts://{}"),
        ("mqtt_ws", "ws", "MQTT over WebSocket", "ws://{}/mqtt"),
        ("mqtt_wss", "wss", "MQTT over secure WebSocket", "wss://{}/mqtt"),
    ):
        if name in ports:
            bind = settings.bind_of(kind)
            host = "127.0.0.1" if bind in ("0.0.0.0", "::") else bind
            host = f"[{host}]" if ":" in host else host
            found.append((title, form.format(f"{host}:{ports[name]}")))
    if settings.mqtt_unix is not None:
        found.append(("MQTT on a Unix socket", str(settings.mqtt_unix)))
    return found


def address_of(settings: Settings, ports: Mapping[str, int]) -> tuple[str, int | None]:
    """Return host and port where MQTT is spoken; None = it is not open yet."""
    broker = settings.external_broker
    if broker is not None:
        return broker.host, broker.port
    return settings.bind_of("tcp"), ports.get("mqtt")


def _proxy(settings: Settings, listener: str) -> ProxyPolicy | None:
    proxy = settings.proxy
    if proxy.protocol == "off" or not proxy.is_on(listener):
        return None
    return ProxyPolicy.of(proxy.protocol, proxy.trusted)
