"""The broker, asked as MQTT clients ask."""

import asyncio
import ssl

from fleetwire.cli.checks.finding import TIMEOUT_S, Finding
from fleetwire.errors import SettingsError
from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.bridge.secure import context_of
from fleetwire.net.client import (
    ClientError,
    ConnectionRefusedByServerError,
    MQTTClient,
    UnreachableError,
)
from fleetwire.protocol import constants as c
from fleetwire.runtime.source import source_plans
from fleetwire.settings import Settings, is_loopback, reachable_at


def check_broker(
    settings: Settings, running: bool, username: str | None, password: str | None
) -> list[Finding]:
    """Connect to the broker as MQTT clients do: the one of MQTT_BROKER_URL, or the embedded one."""
    for plan in source_plans(settings, ()):
        return [_check_external(plan, username, password)]
    if not running:
        advice = "Start it with: fleetwire serve"
        return [Finding("broker", "notice", "embedded; the server does not run now", advice)]
    findings = [_check_anonymous(settings)]
    if username is not None:
        client = MQTTClient(username, username=username, password=password)
        error = _try_to_connect(client, reachable_at(settings.bind), settings.mqtt_port, None)
        if error is None:
            findings.append(Finding("credential", "good", f"{username} may connect"))
        else:
            findings.append(_explain_refusal("credential", error, "--username and --password"))
    return findings


def _check_external(plan: BridgePlan, username: str | None, password: str | None) -> Finding:
    where = f"{plan.host}:{plan.port}"
    client = MQTTClient(
        version=c.V311 if plan.version == "3.1.1" else c.V5,
        username=username or plan.username,
        password=password or plan.password,
    )
    try:
        tls = context_of(plan) if plan.is_tls else None
    except SettingsError as error:
        return Finding("broker", "wrong", str(error), "Correct the path, or the file.")
    failure = _try_to_connect(client, plan.host, plan.port, tls, plan.websocket)
    if failure is None:
        return Finding("broker", "good", f"{where} (MQTT_BROKER_URL) accepts us")
    return _explain_refusal("broker", failure, "MQTT_BROKER_URL")


def _check_anonymous(settings: Settings) -> Finding:
    bind = settings.bind_of("tcp")
    where = f"{reachable_at(bind)}:{settings.mqtt_port}"
    if settings.proxy.is_on("tcp"):
        found = f"{where} speaks to proxies only, so it was not asked"
        return Finding("broker", "notice", found)
    client = MQTTClient()
    error = _try_to_connect(client, reachable_at(bind), settings.mqtt_port, None)
    loopback = is_loopback(bind)
    if error is None:
        if settings.is_anonymous_allowed("tcp"):
            whom = (
                "clients of this machine" if loopback else "clients, as FLEETWIRE_ANONYMOUS says,"
            )
            found = f"{where} answers; {whom} need no password"
            return Finding("broker", "good" if loopback else "notice", found)
        advice = "It must not, bound to a network. Another broker may have this port."
        return Finding("broker", "wrong", f"{where} lets clients in without a password", advice)
    if isinstance(error, ConnectionRefusedByServerError) and error.reason_code in (
        c.NOT_AUTHORIZED,
        c.BAD_USER_NAME_OR_PASSWORD,
    ):
        found = f"{where} answers and demands a user name and password"
        return Finding("broker", "notice" if loopback else "good", found)
    return _explain_refusal("broker", error, "FLEETWIRE_MQTT_PORT")


def _try_to_connect(
    client: MQTTClient,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    websocket: str | None = None,
) -> ClientError | None:
    async def run() -> None:
        await client.connect(host, port, tls=tls, websocket=websocket, timeout_s=TIMEOUT_S)
        await client.disconnect()

    try:
        asyncio.run(run())
    except ClientError as error:
        return error
    return None


def _explain_refusal(about: str, error: ClientError, setting: str) -> Finding:
    advice = f"Look at {setting}, and at the broker's own log."
    if isinstance(error, UnreachableError):
        advice = {
            "refused": f"Start the broker, or correct host and port in {setting}.",
            "timeout": f"A firewall may be between, or {setting} names a port of something else.",
            "name": f"Correct the host name in {setting}, or look at DNS.",
            "tls": f"Look at the broker's certificate, its host name, and mqtt:// or mqtts:// "
            f"in {setting}.",
            "closed": f"That may not be an MQTT broker, or it wants TLS (mqtts://): {setting}.",
        }.get(error.cause, advice)
    elif isinstance(error, ConnectionRefusedByServerError):
        if error.reason_code == c.BAD_USER_NAME_OR_PASSWORD:
            advice = f"The user name or password is wrong: {setting}."
        elif error.reason_code == c.NOT_AUTHORIZED:
            advice = f"Clients without a credential, or this one, are not let in: {setting}."
    return Finding(about, "wrong", str(error), advice)
