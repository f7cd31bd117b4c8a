"""Ports: which are wanted, and who has them."""

import errno
import socket
from collections.abc import Mapping

from fleetwire.cli.checks.finding import TIMEOUT_S, Finding
from fleetwire.cli.rest import RestClient, RestError
from fleetwire.kit import App
from fleetwire.settings import Settings, reachable_at

SETTING_OF_PORT: Mapping[str, str] = {
    "http port": "FLEETWIRE_HTTP_PORT",
    "mqtt port": "FLEETWIRE_MQTT_PORT",
    "mqtt websocket port": "FLEETWIRE_MQTT_WS_PORT",
    "mqtt tls port": "FLEETWIRE_MQTT_TLS_PORT",
    "mqtt secure websocket port": "FLEETWIRE_MQTT_WSS_PORT",
}


def ports_of(settings: Settings, apps: list[App]) -> dict[str, int]:
    """Return every port that the server listens on, by what it is for."""
    ports = {"http port": settings.http_port}
    if settings.external_broker is None:
        ports |= {
            "mqtt port": settings.mqtt_port,
            "mqtt websocket port": settings.mqtt_ws_port,
            "mqtt tls port": settings.mqtt_tls_port or 0,
            "mqtt secure websocket port": settings.mqtt_wss_port or 0,
        }
    for app in apps:
        if app.listener is not None:
            ports[f"{app.name} port"] = settings.app_ports.get(app.name, app.listener.port)
    return ports


def is_running(settings: Settings) -> bool:
    """Say whether a Fleetwire answers on the platform's port."""
    if settings.http_port == 0:
        return False
    client = RestClient(root_of(settings, settings.http_port), timeout_s=TIMEOUT_S)
    try:
        client.get("/api/v1/auth/me")
    except RestError as error:
        return error.status == 401  # that route is ours, and asks who we are
    return True


def root_of(settings: Settings, port: int) -> str:
    """Return where the server answers on a port of this machine."""
    host = reachable_at(settings.bind)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def check_ports(settings: Settings, ports: Mapping[str, int], running: bool) -> list[Finding]:
    """Look whether each port can be had, or who has it."""
    binds = {
        "mqtt port": settings.bind_of("tcp"),
        "mqtt websocket port": settings.bind_of("ws"),
    }
    secure = ("mqtt tls port", "mqtt secure websocket port")
    return [
        _check_port(binds.get(about, settings.bind), about, port, running)
        for about, port in ports.items()
        if about not in secure or port
    ]


def _check_port(bind: str, about: str, port: int, running: bool) -> Finding:
    if port == 0:
        return Finding(about, "good", "any free one")
    setting = "FLEETWIRE_APP_PORTS"
    if about in SETTING_OF_PORT:
        setting = SETTING_OF_PORT[about]
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen()
        except OSError as error:
            return _explain_port(error, bind, about, port, setting, running)
    return Finding(about, "good", f"{port} is free")


def _explain_port(
    error: OSError, bind: str, about: str, port: int, setting: str, running: bool
) -> Finding:
    if error.errno == errno.EADDRINUSE:
        if running:
            return Finding(about, "good", f"{port} is taken, by the Fleetwire that runs here")
        advice = f"Stop what listens there, or choose another port: {setting}."
        return Finding(about, "wrong", f"{port} is taken by another program", advice)
    if error.errno == errno.EACCES:
        advice = f"Ports below 1024 need rights of their own; choose another: {setting}."
        return Finding(about, "wrong", f"{port} may not be used", advice)
    if error.errno == errno.EADDRNOTAVAIL:
        advice = "Set FLEETWIRE_BIND to 127.0.0.1, 0.0.0.0 or an address of this machine."
        return Finding(about, "wrong", f"{bind} is no address of this machine", advice)
    return Finding(about, "wrong", f"{port} cannot be used: {error.strerror}")
