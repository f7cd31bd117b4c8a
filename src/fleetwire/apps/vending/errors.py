"""Errors that carry more than words: `details` stand beside `error` in the answer."""

from typing import Any

from fleetwire.kit import ConflictError, DomainError


class RefusedError(DomainError):
    """The request cannot be carried out as things stand (400); `beside` goes into the answer."""

    def __init__(self, message: str, *, field: str | None = None, **beside: Any) -> None:
        super().__init__(message, field=field)
        self.beside = beside


class StaleError(ConflictError):
    """The caller has seen an older value than the stored one (409)."""

    def __init__(self, message: str, current_stock: int) -> None:
        super().__init__(message, field="expected_current_stock")
        self.beside = {"message": message, "current_stock": current_stock}


class GatewayError(DomainError):
    """The payment gateway did not do what was asked (502)."""

    status = 502


class UnavailableError(DomainError):
    """It cannot be done at this moment (503)."""

    status = 503

    def __init__(self, message: str, **beside: Any) -> None:
        super().__init__(message)
        self.beside = beside


def form(error: DomainError) -> tuple[int, dict[str, Any]]:
    """Return an error as this listener says it: `{error, details?}`.

    Values that do not fit are 400 here, as the field's clients know it.
    """
    said: dict[str, Any] = {"error": error.message, **getattr(error, "beside", {})}
    if error.field is not None:
        said["details"] = {"field": error.field}
    return (400 if error.status == 422 else error.status), said


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong, in words"},
        "details": {"type": "object", "properties": {"field": {"type": "string"}}},
    },
}
