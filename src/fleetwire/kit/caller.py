"""Caller: who asks."""

from typing import Final

import msgspec

from fleetwire.errors import ForbiddenError
from fleetwire.kit.device import Device

# Everything that an owner may: the house is refused nothing within an organisation.
EVERYTHING: Final = frozenset(
    {
        "account.manage",
        "audit.read",
        "broker.read",
        "broker.write",
        "command.send",
        "device.read",
        "device.write",
        "key.read",
        "key.write",
        "message.publish",
        "message.read",
        "organization.create",
        "organization.read",
        "organization.write",
        "quarantine.read",
        "quarantine.write",
        "telemetry.read",
    }
)
NOTHING: Final[frozenset[str]] = frozenset()
SYSTEM: Final = "system"
ANONYMOUS: Final = "anonymous"


class Caller(msgspec.Struct, frozen=True):
    """Who asks: a signed-in person, a service, a device, nobody we know, or the house itself."""

    actor: str  # account:17, key:3/exporter, device:vending/VM01, anonymous, system
    organization_id: int
    permissions: frozenset[str]
    account_id: int = 0
    email: str = ""
    username: str = ""
    role: str = ""
    remote: str = ""  # address the request came from
    app: str = ""  # of a device …
    device_id: str = ""  # … its own name, "" = the caller is none
    login: str = ""  # of a person: the login that his access token belongs to
    subject: str = ""  # of a person: what the issuer of another's token calls him (`sub`)

    @classmethod
    def system(cls, organization_id: int) -> "Caller":
        """Return the house itself, which may do everything within this organisation.

        For what an app does by itself: in a timer, or for somebody on an open route once the app
        has found out whose thing he asks for.
        """
        return cls(SYSTEM, organization_id, EVERYTHING)

    @classmethod
    def anonymous(cls, remote: str = "") -> "Caller":
        """Return somebody without credentials. He belongs to no organisation and may do nothing."""
        return cls(ANONYMOUS, 0, NOTHING, remote=remote)

    @classmethod
    def of_device(cls, device: Device, remote: str = "") -> "Caller":
        """Return a device. It may do what devices do, which no permission is needed for."""
        return cls(
            f"device:{device.app}/{device.device_id}",
            device.organization_id,
            NOTHING,
            role="device",
            remote=remote,
            app=device.app,
            device_id=device.device_id,
        )

    @property
    def is_anonymous(self) -> bool:
        """Say whether nobody knows who asks."""
        return self.actor == ANONYMOUS

    def is_identity(self, identity: str) -> bool:
        """Say whether this is `account:17`, or the key `key:3`, with its name or without."""
        if identity.startswith("key:"):
            return self.actor.partition("/")[0] == identity.partition("/")[0]
        return self.actor == identity

    def require(self, permission: str) -> None:
        """Raise ForbiddenError unless the caller has this permission, such as `device.write`."""
        if permission not in self.permissions:
            raise ForbiddenError(
                f"This needs the permission {permission!r}, which you do not have."
            )
