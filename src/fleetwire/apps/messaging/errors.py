"""The form in which this listener says what it refuses."""

from typing import Any

from fleetwire.kit import DomainError, ErrorForm


class UnavailableError(DomainError):
    """It cannot be done at this moment; trying again may succeed."""

    status = 503


def error_answer(error: DomainError) -> tuple[int, dict[str, Any]]:
    """Return the status and `{"success": false, "error": …}`, with the field at fault if any."""
    content: dict[str, Any] = {"success": False, "error": error.message}
    if error.field is not None:
        content["field"] = error.field
    # Whatever is wrong with a request is 400 here.
    return (400 if error.status == 422 else error.status), content


ERRORS = ErrorForm(
    error_answer,
    {
        "type": "object",
        "required": ["success", "error"],
        "properties": {
            "success": {"type": "boolean"},
            "error": {"type": "string", "description": "What is wrong, in words"},
            "field": {"type": "string"},
        },
    },
)

WRONG_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"description": "Something in the request is wrong or missing: `field` names it"}
}
