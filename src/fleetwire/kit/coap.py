"""CoAP: what an app's devices send and read by CoAP (RFC 7252, RFC 7641), on a UDP port.

    App(
        "farm",
        coap=Coap(
            receives=("devices/{device_id}/datastream", "devices/{device_id}/status"),
            shows={"devices/{device_id}/state": state_of},
        ),
    )

POST or PUT to a path is a message on the topic of the same name: same handler, same answer. A GET
shows something of a device, with Observe again after each of the app's events that tell of it.
Needs the extra `coap`; without it everything else is served.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from fleetwire.kit.device import Device

Show = Callable[[Connection, Device], Any]
"""Reads from the store what is shown of a device; it is sent as JSON."""


@dataclass(frozen=True)
class Coap:
    """`port` is the default, a setting can move it: `<app>.coap` among the apps' ports.

    `receives` are paths that are topic templates. `named_by` are paths without a device in them, by
    the field of the payload that names it, and the template that is meant. `shows` are paths with
    what a GET returns, and `commands` is one that shows the device's newest command.
    """

    port: int = 5683
    receives: tuple[str, ...] = ()
    named_by: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    shows: Mapping[str, Show] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
