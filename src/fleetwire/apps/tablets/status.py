"""The status message: what a tablet says of itself every 30 seconds, and its Will.

Fields that are not sent keep their last value. `uptime` 0 and `bootTime` 0 together are no status:
they are the Will, or a tablet that speaks like it, and mean that it is gone. What else stands in
that message is a filler, so its battery 0 must not take the place of the last real one.
"""

from typing import Any

from fleetwire.apps.tablets import fields
from fleetwire.apps.tablets.fields import Body
from fleetwire.apps.tablets.presence import STATUS_EVENT, go_offline, status_of
from fleetwire.apps.tablets.rows import ONLINE, change_row, row_of
from fleetwire.kit import (
    Device,
    Effect,
    Event,
    Incoming,
    NotAcceptedError,
    Reading,
    Report,
    Transaction,
)

BATTERY_HEALTH = ("GOOD", "OVERHEAT", "DEAD", "OVER_VOLTAGE", "FAILURE", "COLD", "UNKNOWN")
CHARGING_METHODS = ("USB", "AC", "WIRELESS", "NONE", "UNKNOWN")


def receive_status(
    device: Device, body: dict[str, Any], message: Incoming, tx: Transaction
) -> list[Effect]:
    """Return what the tablet says of itself as a report, a reading and the push `device_status`.

    Raises NotAcceptedError naming the field at fault.
    """
    row = row_of(tx, device, message.received_at)
    if is_gone(body):
        return go_offline(tx, device, row, "will", message.received_at)
    said = said_in(body)
    if not said:
        raise NotAcceptedError("The status says nothing that a tablet's status says")
    at = message.received_at
    # Two that are under way at once may be stored in the other order than they were sent in.
    values: dict[str, Any] = said | {"last_seen_at": max(at, row.last_seen_at or 0)}
    values["updated_at"] = at
    if row.status != ONLINE:
        values |= {"status": ONLINE, "status_reason": "status", "status_since_at": at}
    now = change_row(tx, row, values)
    effects: list[Effect] = [
        Report(device, ONLINE, _reported(said)),
        Event(STATUS_EVENT, device, status_of(now)),
    ]
    if "battery" in said:
        effects.append(Reading(device, "battery", said["battery"], "%"))
    return effects


def is_gone(body: Body) -> bool:
    """Say whether this is the marker of a tablet that has gone."""
    return fields.whole(body, "uptime") == 0 and fields.whole(body, "bootTime") == 0


def said_in(body: Body) -> dict[str, Any]:
    """Return the columns that the message says something of."""
    said = {
        "battery": fields.whole(body, "battery", 0, 100),
        "wifi_status": fields.truth(body, "wifiStatus"),
        "uptime_ms": fields.whole(body, "uptime"),
        "is_charging": fields.truth(body, "isCharging"),
        "battery_health": fields.choice(body, "batteryHealth", BATTERY_HEALTH, "UNKNOWN"),
        "charging_method": fields.choice(body, "chargingMethod", CHARGING_METHODS, "UNKNOWN"),
        "mobile_data_enabled": fields.truth(body, "mobileDataEnabled"),
        "network_connected": fields.truth(body, "networkConnected"),
        "screen_on": fields.truth(body, "screenOn"),
        "volume_level": fields.whole(body, "volumeLevel", 0, 100),
        "bluetooth_enabled": fields.truth(body, "bluetoothEnabled"),
        "installed_apps_count": fields.whole(body, "installedAppsCount", 0, 1_000_000),
        "boot_time_ms": fields.whole(body, "bootTime"),
    }
    return {name: value for name, value in said.items() if value is not None}


def _reported(said: dict[str, Any]) -> dict[str, Any]:
    # The device's row tells what changes seldom or is asked for most; the rest is in our own.
    return {name: said[name] for name in ("battery", "wifi_status", "is_charging") if name in said}
