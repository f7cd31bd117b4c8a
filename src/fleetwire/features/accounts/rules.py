"""What an account may be called, and what makes a password."""

import re

from fleetwire.errors import InvalidValueError
from fleetwire.features.accounts.permissions import ROLES

MAX_EMAIL_CHARS = 320
MAX_USERNAME_CHARS = 128
MAX_FULL_NAME_CHARS = 200
MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 1024  # a bound for the hash's work, far past any passphrase

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)*")
# No @, so that nobody's user name can be another's e-mail address, and no :, which ends a realm.
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_REALM = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)


def clean_email(email: str) -> str:
    """Return the address in lower case. Raises InvalidValueError."""
    email = email.strip().lower()
    if len(email) > MAX_EMAIL_CHARS or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise InvalidValueError("email must be an address such as ann@example.org", field="email")
    return email


def is_username(username: str) -> bool:
    """Say whether somebody can be called so, in lower case."""
    return len(username) <= MAX_USERNAME_CHARS and bool(_USERNAME.fullmatch(username.lower()))


def clean_username(username: str) -> str:
    """Return the name in lower case. Raises InvalidValueError."""
    username = username.strip().lower()
    if not is_username(username):
        raise InvalidValueError(
            f"username must have 1 to {MAX_USERNAME_CHARS} letters a-z, digits or . _ - "
            "and begin with a letter or digit",
            field="username",
        )
    return username


def in_realm(realm: str, username: str) -> str:
    """Return a clean name as it is stored: `realm:name`, or the name where the realm is "".

    Raises InvalidValueError if both together are too long, ValueError for what is no realm.
    """
    if not realm:
        return username
    if not _REALM.fullmatch(realm):
        raise ValueError(f"{realm!r} is no realm: lower-case letters, digits, _ and -, at most 31")
    if len(realm) + 1 + len(username) > MAX_USERNAME_CHARS:
        raise InvalidValueError(
            f"username must have at most {MAX_USERNAME_CHARS - len(realm) - 1} characters",
            field="username",
        )
    return f"{realm}:{username}"


def realm_of(username: str) -> str:
    """Return the realm of a stored name, "" if it is the platform's."""
    return username.rpartition(":")[0]


def bare_name(username: str) -> str:
    """Return a stored name without its realm."""
    return username.rpartition(":")[2]


def clean_full_name(full_name: str) -> str | None:
    """Return the name, None if it is empty. Raises InvalidValueError."""
    full_name = full_name.strip()
    if len(full_name) > MAX_FULL_NAME_CHARS or not full_name.isprintable():
        raise InvalidValueError(
            f"full_name must be printable text of at most {MAX_FULL_NAME_CHARS} characters",
            field="full_name",
        )
    return full_name or None


def clean_organization_name(name: str) -> str:
    """Return the name without blanks around it. Raises InvalidValueError."""
    name = name.strip()
    if not 1 <= len(name) <= MAX_FULL_NAME_CHARS or not name.isprintable():
        raise InvalidValueError(
            f"name must be printable text of 1 to {MAX_FULL_NAME_CHARS} characters", field="name"
        )
    return name


def check_role(role: str) -> None:
    """Raise InvalidValueError unless there is such a role."""
    if role not in ROLES:
        raise InvalidValueError(f"role must be one of {', '.join(ROLES)}", field="role")


def check_password(password: str, field: str = "password") -> None:
    """Raise InvalidValueError unless this can be a new password."""
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise InvalidValueError(
            f"{field} must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters",
            field=field,
        )
