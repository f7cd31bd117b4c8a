"""What can be wrong with signing in, beyond the common errors."""

from fleetwire.errors import DomainError, TooManyError


class TooManyAttemptsError(TooManyError):
    """Too many attempts failed; it can be tried again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeysUnavailableError(DomainError):
    """The keys that outside tokens are checked with cannot be fetched just now."""

    status = 503
    retry_after_s = 30.0
