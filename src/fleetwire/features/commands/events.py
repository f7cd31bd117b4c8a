"""The events that tell what became of a command."""

from fleetwire.kit.device import Device
from fleetwire.kit.effects import Event


def event_of(device: Device, command_id: str, name: str, state: str, reason: str | None) -> Event:
    """Return `command.<state>`, such as `command.delivered`."""
    body = {
        "command_id": command_id,
        "device_id": device.device_id,
        "name": name,
        "state": state,
        "reason": reason,
    }
    return Event(f"command.{state}", device, body)
