"""What a device is told so that it can connect: where, as whom, and to which topics."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from fleetwire.broker.topic_rights import fill
from fleetwire.features.devices.topics import TopicsOf, topics_of_app
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import Credential

PORTS: Final = ("mqtt", "mqtts", "mqtt_ws", "mqtt_wss")


class LetIn(msgspec.Struct):
    """A device with the credential that it may connect with, given out here and never again."""

    app: str
    device_id: str
    type: str
    credential: Credential
    host: str
    ports: dict[str, int]
    publish: list[str]
    subscribe: list[str]


class WayIn:
    """Knows the broker's address; `ports` gives those that are open, by name.

    Without a `host` of the settings it is the name under which the device reached us over HTTP.
    """

    def __init__(
        self,
        apps: Mapping[str, App],
        ports: Callable[[], Mapping[str, int]],
        *,
        host: str | None = None,
        public_url: str | None = None,
        topics_of: TopicsOf = topics_of_app,
    ) -> None:
        self._apps = apps
        self._ports = ports
        self._host = host
        self._public_url = public_url
        self._topics_of = topics_of

    def claim_url(self, code: str, root: str) -> str:
        """Return the page at which a code is used; `root` is where somebody just reached us.

        The code stands behind a #: browsers keep that to themselves, so no log has it.
        """
        return f"{(self._public_url or root).rstrip('/')}/claim#{code}"

    def of(self, device: Device, credential: Credential, reached: str) -> LetIn:
        """Return what to tell a device that reached us at this host."""
        publishes, subscribes = self._topics_of(self._apps[device.app], device)
        ports = self._ports()
        # As it will be granted to a client whose id is the device's.
        values = {
            "device_id": device.device_id,
            "client_id": device.device_id,
            "username": device.device_id,
            "organization": str(device.organization_id),
            "role": "device",
        }
        return LetIn(
            device.app,
            device.device_id,
            device.type,
            credential,
            self._host or reached,
            {name: ports[name] for name in PORTS if name in ports},
            fill(publishes, values).filters,
            fill(subscribes, values).filters,
        )
