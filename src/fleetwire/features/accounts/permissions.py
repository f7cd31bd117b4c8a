"""Roles, and what each of them may do."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OWNER: Final = "owner"

_VIEWER = frozenset({"device.read", "telemetry.read", "message.read", "organization.read"})
_OPERATOR = _VIEWER | {"broker.read", "command.send", "message.publish", "quarantine.read"}
_ADMINISTRATOR = _OPERATOR | {
    "broker.write",
    "device.write",
    "quarantine.write",
    "audit.read",
    "account.manage",
    "key.read",
    "key.write",
    "organization.write",
}

# In rising order. An owner may do what an administrator may; only owners make or change owners,
# and those of the first organisation make others.
PERMISSIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "viewer": _VIEWER,
        "operator": _OPERATOR,
        "administrator": _ADMINISTRATOR,
        OWNER: _ADMINISTRATOR | {"organization.create"},
    }
)
ROLES: tuple[str, ...] = tuple(PERMISSIONS)


def is_above(role: str, other: str) -> bool:
    """Say whether `role` stands above `other`; what is no role stands below all."""
    return _rank(role) > _rank(other)


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else -1
