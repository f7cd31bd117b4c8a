"""What this app refuses, and the form in which it says so."""

from typing import Any

from fleetwire.kit import DomainError, ErrorForm


class UnavailableError(DomainError):
    """Some of several things cannot be had; `details` says of each why."""

    status = 400

    def __init__(
        self, message: str, details: list[dict[str, Any]], *, field: str | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.details = details


class BadRequestError(DomainError):
    """The request cannot be carried out as things are."""

    status = 400


class BrokerUnavailableError(DomainError):
    """Nothing can be sent to tablets just now."""

    status = 503


def error_answer(error: DomainError) -> tuple[int, dict[str, Any]]:
    """Return the status and `{"error": …}`, with the field at fault where there is one."""
    content: dict[str, Any] = {"error": error.message}
    if error.field is not None:
        content["field"] = error.field
    if isinstance(error, UnavailableError):
        content["details"] = error.details
    # The field's clients know 400 for whatever is wrong with a request.
    return (400 if error.status == 422 else error.status), content


# What every route with parameters or a body can answer.
WRONG_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"description": "Something in the request is wrong or missing: `field` names it"}
}

ERRORS = ErrorForm(
    error_answer,
    {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "field": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}},
        },
    },
)
