"""Whose a topic or a client is, and who may see it.

A caller sees the clients of his organisation and the topics of its devices. What is nobody's
(anonymous clients, topics of no device, connections before their CONNECT is answered) is for owners
and administrators of the organisation that runs the platform.
"""

from fleetwire.broker.grants import Grant
from fleetwire.features.audit.visibility import PLATFORM_ORGANIZATION
from fleetwire.kit.services import Caller

SEES_WHAT_IS_NOBODYS = frozenset({"owner", "administrator"})


def sees_nobodys(caller: Caller) -> bool:
    """Say whether the caller sees what belongs to no organisation."""
    return caller.organization_id == PLATFORM_ORGANIZATION and caller.role in SEES_WHAT_IS_NOBODYS


def may_see_client(caller: Caller, grant: Grant | None) -> bool:
    """Say whether the caller sees a client with this grant; None = it has none yet."""
    organization_id = 0 if grant is None else grant.organization_id
    if organization_id:
        return organization_id == caller.organization_id
    return sees_nobodys(caller)


def may_see_topic(caller: Caller, owners: set[int]) -> bool:
    """Say whether a topic is the caller's organisation's alone, or nobody's and he may."""
    return owners == {caller.organization_id} if owners else sees_nobodys(caller)
