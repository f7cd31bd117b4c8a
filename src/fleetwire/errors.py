"""The root of every error that Fleetwire raises on purpose.

An error is raised where its meaning is known and translated once, at the edge: `web` turns
`status` into an HTTP status, `ingest` turns `reason_code` into an MQTT reason code.
"""

from typing import ClassVar


class FleetwireError(Exception):
    """Any error that Fleetwire raises on purpose."""


class SettingsError(FleetwireError):
    """A setting is wrong; the text names the setting and says what to change."""


class StoreUnavailableError(FleetwireError):
    """The database did not take the work; nothing of it was stored. Trying again may succeed."""


class DomainError(FleetwireError):
    """A request that cannot be carried out, said in words that its sender understands.

    `field` names the part of the request at fault, where there is one.
    """

    status: ClassVar[int] = 400
    reason_code: ClassVar[int] = 0x83  # Implementation specific error

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidValueError(DomainError):
    """A value is missing, of the wrong type or out of range."""

    status = 422
    reason_code = 0x99  # Payload format invalid


class UnauthenticatedError(DomainError):
    """No credential, or one that is wrong, expired or revoked."""

    status = 401
    reason_code = 0x87  # Not authorized


class ForbiddenError(DomainError):
    """The caller is known but may not do this."""

    status = 403
    reason_code = 0x87  # Not authorized


class NotFoundError(DomainError):
    """The thing does not exist, or belongs to another organisation."""

    status = 404


class ConflictError(DomainError):
    """The request contradicts what is stored."""

    status = 409


class TooManyError(DomainError):
    """A bound was reached; the text names it."""

    status = 429
    reason_code = 0x97  # Quota exceeded
