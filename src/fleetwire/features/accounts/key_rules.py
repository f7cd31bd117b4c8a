"""What a key may be called, and what it may be given."""

import re
from collections.abc import Sequence

from fleetwire.broker.topic_rights import check
from fleetwire.errors import ForbiddenError, InvalidValueError
from fleetwire.features.accounts.permissions import OWNER, PERMISSIONS
from fleetwire.kit.services import Caller
from fleetwire.protocol.errors import InvalidTopicError

WRITE = "key.write"
FOR_PEOPLE_ONLY = frozenset({"account.manage", WRITE, "organization.create"})
MAX_RIGHTS = 64  # each is looked at for a new topic
MAX_RIGHT_CHARS = 512
MAX_NAME_CHARS = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def check_name(name: str) -> None:
    """Raise InvalidValueError unless a key can be called so."""
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise InvalidValueError(
            f"name must have 1 to {MAX_NAME_CHARS} letters, digits or . _ - and begin with a "
            "letter or digit",
            field="name",
        )


def check_end(expires_at: int | None, at: int) -> None:
    """Raise InvalidValueError if a key would end before it begins."""
    if expires_at is not None and expires_at <= at:
        raise InvalidValueError("expires_at has passed already", field="expires_at")


def check_scope(caller: Caller, permissions: Sequence[str]) -> list[str]:
    """Return the permissions of a key in order, each once.

    Raises InvalidValueError, ForbiddenError for what the caller may not do himself.
    """
    for permission in permissions:
        if permission not in PERMISSIONS[OWNER]:
            raise InvalidValueError(
                f"There is no permission {permission[:64]!r}.", field="permissions"
            )
        if permission in FOR_PEOPLE_ONLY:
            raise InvalidValueError(
                f"{permission!r} is for people: a key cannot have it.", field="permissions"
            )
        if permission not in caller.permissions:  # nobody gives what he does not have
            raise ForbiddenError(f"You do not have the permission {permission!r} yourself.")
    return sorted(set(permissions))


def check_rights(rights: Sequence[str], field: str) -> None:
    """Raise InvalidValueError unless these are topics that a key may be given."""
    if len(rights) > MAX_RIGHTS:
        raise InvalidValueError(f"{field} must not have more than {MAX_RIGHTS} topics", field=field)
    for right in rights:
        if len(right) > MAX_RIGHT_CHARS:
            raise InvalidValueError(
                f"A topic in {field} must not have more than {MAX_RIGHT_CHARS} characters",
                field=field,
            )
        if field == "publish" and right.startswith("$"):
            raise InvalidValueError("Topics that begin with $ are the server's.", field=field)
        try:
            check(right)
        except InvalidTopicError as error:
            raise InvalidValueError(f"{right[:100]!r} in {field}: {error}", field=field) from None


def check_is_inside(rights: Sequence[str], field: str) -> None:
    """Refuse rights that reach into other organisations, where there are others."""
    for right in rights:
        if "{organization}" not in right.split("/"):
            raise InvalidValueError(
                f"{right[:100]!r} in {field} would reach into other organisations on this server: "
                "it needs a level {organization}",
                field=field,
            )
