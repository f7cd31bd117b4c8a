"""The app's people: they are the house's, with the names that the field gives their roles."""

from collections.abc import Sequence
from typing import Any

from fleetwire.kit import Caller, People, Person, RoleNames
from fleetwire.kit.instants import iso

REALM = "tablets"
ROLES = RoleNames({"ADMIN": "administrator", "STAFF": "operator"})
PAGE = 200


def view(person: Person) -> dict[str, Any]:
    """Return somebody as the login tells of him."""
    return {
        "id": person.id,
        "username": person.username,
        "email": person.email,
        "fullName": person.full_name,
        "role": ROLES.theirs(person.role),
    }


def full_view(person: Person) -> dict[str, Any]:
    """Return somebody as the list of users shows him."""
    last_login_at = person.last_login_at
    return view(person) | {
        "isActive": person.is_active,
        "createdAt": iso(person.created_at),
        "lastLogin": None if last_login_at is None else iso(last_login_at),
    }


async def all_of(caller: Caller, people: People) -> Sequence[Person]:
    """Return everybody of the organisation: those of the app and those of the platform."""
    found: list[Person] = []
    cursor: str | None = None
    while True:
        page = await people.list(caller, limit=PAGE, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
