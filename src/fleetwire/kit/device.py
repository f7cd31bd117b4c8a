"""A device as handlers and services see it."""

from typing import Any


class Device:
    """One registered device, kept in memory by the registry.

    `id` is our integer key, `device_id` the device's own name as it stands in its topics. There is
    one object per device: identity (`is`) means the same device.
    """

    __slots__ = ("app", "attributes", "device_id", "id", "organization_id", "type")

    def __init__(
        self,
        id: int,
        app: str,
        device_id: str,
        organization_id: int,
        type: str,
        attributes: dict[str, Any],
    ) -> None:
        self.id = id
        self.app = app
        self.device_id = device_id
        self.organization_id = organization_id
        self.type = type
        self.attributes = attributes

    def __repr__(self) -> str:
        return f"Device({self.app}:{self.device_id})"
