"""Roles and permissions by the farm's names, each standing for one of the house's."""

from collections.abc import Collection
from typing import Final

from fleetwire.kit import RoleNames

ROLES: Final = RoleNames(
    {
        "Viewer": "viewer",
        "Supervisor": "operator",
        "Org Admin": "administrator",
        "System Admin": "owner",
    }
)
# In rising order, as `/roles` lists them: name, the house's role, what it is for.
ROLE_ROWS: Final = (
    ("Viewer", "viewer", "Sees everything of the organization"),
    ("Supervisor", "operator", "Also sets devices and sends values"),
    ("Org Admin", "administrator", "Also manages sensors, devices, people"),
    ("System Admin", "owner", "Everything"),
)
SUBJECTS: Final = ("device", "area", "sensor", "organization", "rule")
ACTIONS: Final = ("view", "create", "update", "delete")
OTHERS: Final = {
    "permission.view": "account.manage",
    "permission.manage": "account.manage",
    "role.view": "account.manage",
    "role.assign": "account.manage",
}
NEEDS: Final = {
    **{
        f"{subject}.{action}": "device.read" if action == "view" else "device.write"
        for subject in SUBJECTS
        for action in ACTIONS
    },
    **OTHERS,
}


def permissions_of(permissions: Collection[str]) -> list[str]:
    """Return the farm's names of what somebody may do."""
    return [name for name, needed in NEEDS.items() if needed in permissions]
