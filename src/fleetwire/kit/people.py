"""People: for apps that let people sign in on routes of their own shape.

Who signs in this way is one of the house's people: his rights, the throttle, the audit and the end
of his tokens are those of `/api/v1/auth/login`, and his token opens every listener. What an app
brings is the shape of its routes and the names of its roles:

    ROLES = RoleNames({"ADMIN": "administrator", "STAFF": "operator"})

    @router.post("/api/auth/login")
    async def login(body: Login, request: Request, people: Annotated[People, service(People)]):
        signed_in = await people.sign_in(body.username, body.password, remote_of(request))
        return {"token": signed_in.token, "role": ROLES.theirs(signed_in.person.role)}

An app whose user names are its own names them by its `realm`: `ann` of the realm `tablets` and
`ann` of the platform are two people. Who is looked for in a realm and is not in it is looked for
among the platform's people, so that an administrator signs in everywhere.

Does not: know of rights beyond the roles. What only an app understands, such as who borrowed what,
stands in the app's own tables beside `Person.id`, which is never given to anybody else.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec
from fastapi.requests import HTTPConnection

from fleetwire.errors import InvalidValueError
from fleetwire.kit.caller import Caller
from fleetwire.kit.paging import Page

# In rising order: each may do what those before it may.
ROLES = ("viewer", "operator", "administrator", "owner")


class Person(msgspec.Struct, frozen=True):
    """Somebody's account and his role in the caller's organisation; instants are microseconds UTC.

    `email` is "" if he has none. `username` is without its `realm`.
    """

    id: int
    username: str
    realm: str
    email: str
    full_name: str | None
    role: str
    is_active: bool
    organization_id: int
    created_at: int
    last_login_at: int | None


class SignedIn(msgspec.Struct, frozen=True):
    """What signing in gives: an access token and when it ends, and one that gives the next."""

    token: str
    expires_at: int
    refresh_token: str
    refresh_expires_at: int
    person: Person
    caller: Caller


class RoleNames:
    """An app's names for roles, each with the role of ours that it stands for."""

    def __init__(self, ours: Mapping[str, str]) -> None:
        """Raise ValueError unless each stands for one of ROLES."""
        wrong = sorted(set(ours.values()) - set(ROLES))
        if wrong or not ours:
            raise ValueError(f"{wrong} are no roles: each name stands for one of {ROLES}")
        self._ours = dict(ours)
        self._theirs = sorted(ours, key=lambda name: ROLES.index(ours[name]))

    def ours(self, name: str, field: str = "role") -> str:
        """Return the role that an app's name stands for. Raises InvalidValueError."""
        if name not in self._ours:
            raise InvalidValueError(f"{field} must be one of {', '.join(self._ours)}", field=field)
        return self._ours[name]

    def theirs(self, role: str) -> str:
        """Return the app's name for a role: the highest that does not stand above it.

        For a role below all of them it is the lowest, as everybody has a name in the app; what he
        may do follows from his permissions, not from this.
        """
        rank = ROLES.index(role)
        below = [name for name in self._theirs if ROLES.index(self._ours[name]) <= rank]
        return below[-1] if below else self._theirs[0]


class People(ABC):
    """Signs people in and manages those of the caller's organisation.

    Managing needs the permission `account.manage`, and nobody changes whoever stands above him.
    """

    @abstractmethod
    async def sign_in(
        self,
        username_or_email: str,
        password: str,
        remote: str,
        *,
        realm: str = "",
        organization_id: int | None = None,
    ) -> SignedIn:
        """Return tokens for an organisation, None = the oldest that the person belongs to.

        Raises UnauthenticatedError (401) in the same words whatever is wrong; TooManyError (429,
        with `retry_after_s`) after failures; ForbiddenError if he does not belong there.
        """

    @abstractmethod
    async def renew(self, refresh_token: str, remote: str) -> SignedIn:
        """Return new tokens for a refresh token, which is used up. Raises UnauthenticatedError."""

    @abstractmethod
    async def sign_out(self, token: str) -> None:
        """End the login that an access or refresh token belongs to; an unknown one ends nothing."""

    @abstractmethod
    async def verify(self, token: str, remote: str) -> Caller:
        """Return whom an access token or a key speaks of, with what he may do at this moment.

        For tokens that come where `Asks` does not look. Raises UnauthenticatedError,
        ForbiddenError.
        """

    @abstractmethod
    def me(self, caller: Caller) -> Person:
        """Return who asks. Raises NotFoundError if that is no person."""

    @abstractmethod
    async def get(self, caller: Caller, person_id: int) -> Person:
        """Return one of the organisation's people. Raises NotFoundError."""

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        *,
        realm: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Person]:
        """Return the organisation's people, or those of a realm, in the order they were made."""

    @abstractmethod
    async def create(
        self,
        caller: Caller,
        *,
        username: str,
        password: str,
        role: str,
        realm: str = "",
        email: str = "",
        full_name: str = "",
    ) -> Person:
        """Make somebody who signs in with this password.

        Raises InvalidValueError, ConflictError if the name or address is taken, ForbiddenError if
        the role stands above the caller's.
        """

    @abstractmethod
    async def change(
        self,
        caller: Caller,
        person_id: int,
        *,
        username: str | None = None,
        password: str | None = None,
        role: str | None = None,
        email: str | None = None,
        full_name: str | None = None,
        is_active: bool | None = None,
    ) -> Person:
        """Change what is given; another password, or closing the account, ends all logins.

        Raises as `create`; NotFoundError; ConflictError if no owner would be left.
        """

    @abstractmethod
    async def delete(self, caller: Caller, person_id: int) -> None:
        """Remove somebody from the organisation; his logins, keys and connections end at once.

        Names, address and password are erased if he belongs to no other organisation. The number
        stays his in the audit. Raises NotFoundError, ForbiddenError, ConflictError if he is the
        last owner.
        """

    @abstractmethod
    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        """Replace the caller's own password; all his logins end.

        Raises InvalidValueError (field `old_password` or `new_password`), TooManyError.
        """

    @abstractmethod
    async def reset_password(self, token: str, new: str, remote: str) -> None:
        """Set a new password by a token that an administrator has made; all his logins end.

        Raises UnauthenticatedError, InvalidValueError (field `new_password`).
        """

    @abstractmethod
    async def create_for_demo(
        self, organization_id: int, *, username: str, password: str, role: str, realm: str
    ) -> Person | None:
        """Make somebody with a password that everybody knows, once; None if he is there.

        Raises ForbiddenError unless the house runs with `--demo` and is bound to loopback. In any
        other house on the same data he is closed, until an administrator gives him another
        password and opens the account.
        """


def remote_of(connection: HTTPConnection) -> str:
    """Return the address that a request came from, "" if that is unknown."""
    return connection.client.host if connection.client is not None else ""
