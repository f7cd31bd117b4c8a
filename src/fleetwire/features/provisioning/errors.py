"""What can be wrong with getting in, beyond the common errors."""

from fleetwire.errors import ConflictError, UnauthenticatedError


class NotLetInError(UnauthenticatedError):
    """The code, key or token is not good; the same words whatever is wrong with it."""


def taken(app: str, device_id: str) -> ConflictError:
    """Return the error for a device_id that somebody has already."""
    return ConflictError(
        f"A device {device_id[:128]!r} is registered with {app!r} already.", field="device_id"
    )
