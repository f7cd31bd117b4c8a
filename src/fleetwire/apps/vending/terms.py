"""Terms: what the app is told by settings."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetwire.kit import SettingsError

SANDBOX = "sandbox"
MIDTRANS = "midtrans"
MIDTRANS_TEST_URL = "https://api.sandbox.midtrans.com"
MIDTRANS_TEST_SNAP_URL = "https://app.sandbox.midtrans.com"


def _random_key() -> str:
    return secrets.token_hex(32)


@dataclass(frozen=True)
class Terms:
    """Lengths of time are seconds. Without a server key of its own the sandbox makes one up."""

    order_open_s: float = 900.0  # an unpaid order is closed then
    dispense_wait_s: float = 300.0  # a paid one waits so long for a machine that is away
    result_wait_s: float = 30.0  # and, once it is sent, so long for a result, beside its timeoutMs
    keep_days: float = 90.0  # telemetry and temperatures
    gateway: str = SANDBOX
    server_key: str = field(default_factory=_random_key, repr=False)
    midtrans_url: str = MIDTRANS_TEST_URL
    midtrans_snap_url: str = MIDTRANS_TEST_SNAP_URL
    machine_id: str = ""
    broker_url: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Terms":
        """Return what these settings say. Raises SettingsError naming the one that is wrong."""
        gateway = settings.get("PAYMENT_GATEWAY", "").strip().lower() or SANDBOX
        if gateway not in (SANDBOX, MIDTRANS):
            raise SettingsError(f"PAYMENT_GATEWAY={gateway!r} must be {SANDBOX} or {MIDTRANS}")
        server_key = settings.get("MIDTRANS_SERVER_KEY", "").strip()
        if gateway == MIDTRANS and not server_key:
            raise SettingsError("PAYMENT_GATEWAY=midtrans needs MIDTRANS_SERVER_KEY")
        return cls(
            order_open_s=_seconds(settings, "VENDING_ORDER_OPEN_S", 900.0),
            dispense_wait_s=_seconds(settings, "VENDING_DISPENSE_WAIT_S", 300.0),
            result_wait_s=_seconds(settings, "VENDING_RESULT_WAIT_S", 30.0),
            keep_days=_number(settings, "VENDING_KEEP_DAYS", 90.0, 36_500, "days"),
            gateway=gateway,
            server_key=server_key or _random_key(),
            midtrans_url=_url(settings, "MIDTRANS_URL", MIDTRANS_TEST_URL),
            midtrans_snap_url=_url(settings, "MIDTRANS_SNAP_URL", MIDTRANS_TEST_SNAP_URL),
            machine_id=settings.get("MACHINE_ID", "").strip(),
            broker_url=settings.get("MQTT_BROKER_URL", "").strip(),
        )


def _url(settings: Mapping[str, str], name: str, default: str) -> str:
    url = settings.get(name, "").strip().rstrip("/") or default
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{name}={url!r} must begin with https://")
    return url


def _seconds(settings: Mapping[str, str], name: str, default: float) -> float:
    return _number(settings, name, default, 86_400, "seconds")


def _number(settings: Mapping[str, str], name: str, default: float, most: int, unit: str) -> float:
    text = settings.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise SettingsError(f"{name}={text!r} must be a number of {unit} up to {most}")
    return number
