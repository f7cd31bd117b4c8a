"""What this app refuses, and the form in which it says so."""

from typing import Any

from fleetwire.kit import DomainError, ErrorForm


class RefusedError(DomainError):
    """The request cannot be carried out as things stand (400)."""

    status = 400


class UnavailableError(DomainError):
    """It cannot be done at this moment (503)."""

    status = 503


def error_answer(error: DomainError) -> tuple[int, dict[str, Any]]:
    """Return the status and `{status, statusCode, message}`, with the field at fault beside it.

    `fail` is the caller's mistake, `error` ours. Values that do not fit are 400 here.
    """
    status = 400 if error.status == 422 else error.status
    said: dict[str, Any] = {
        "status": "fail" if status < 500 else "error",
        "statusCode": status,
        "message": error.message,
    }
    if error.field is not None:
        said["field"] = error.field
    return status, said


ERRORS = ErrorForm(
    error_answer,
    {
        "type": "object",
        "required": ["status", "statusCode", "message"],
        "properties": {
            "status": {"type": "string", "enum": ["fail", "error"]},
            "statusCode": {"type": "integer"},
            "message": {"type": "string", "description": "What is wrong, in words"},
            "field": {"type": "string", "description": "Where in the request the fault is"},
        },
    },
)
