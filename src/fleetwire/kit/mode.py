"""Mode: whether this house is somebody's workbench or the real thing."""

import msgspec


class Mode(msgspec.Struct, frozen=True):
    """Development is a house that only its own machine can reach, unless a setting says otherwise.

    An app asks for it by type, as for a service.
    """

    is_development: bool
    is_demo: bool = False  # started with --demo
    organization_id: int = 0  # the first organisation, for which nobody asks in development
