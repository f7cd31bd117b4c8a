"""Who sees what belongs to no organisation.

A wrong password, a refused connection, a message of an anonymous client: nobody knows whose they
are, and where several organisations share a server they may be anybody's. So they are for the
platform's owners: the owners of the organisation that the server made on its first start.
"""

from typing import Final

from fleetwire.kit.services import Caller

PLATFORM_ORGANIZATION: Final = 1
OWNER: Final = "owner"


def owns_the_platform(caller: Caller) -> bool:
    """Say whether the caller sees what belongs to no organisation."""
    return caller.organization_id == PLATFORM_ORGANIZATION and caller.role == OWNER
