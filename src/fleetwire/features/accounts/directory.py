"""Directory: all accounts in memory, as the database has them.

Every request asks it, so that a closed account or another role counts from the next request on.
"""

from typing import Any

import msgspec

from fleetwire.kit.etags import etag


class Account(msgspec.Struct, frozen=True):
    """A person's account and its place in one organisation; the password's hash is not here.

    A person may belong to several organisations, in each with a role of its own. `email` is "" if
    an app made the account and names its people otherwise.
    """

    id: int
    email: str
    username: str
    full_name: str | None
    is_active: bool
    created_at: int
    last_login_at: int | None
    organization_id: int
    role: str


def tag_of(account: Account) -> str:
    """Return the tag of what people set of an account."""
    return etag(
        account.id,
        account.email,
        account.username,
        account.full_name,
        account.is_active,
        account.organization_id,
        account.role,
    )


class Directory:
    """Finds accounts by key, e-mail and user name. Changed after each commit, in commit order."""

    def __init__(self) -> None:
        self._by_id: dict[int, Account] = {}
        self._by_email: dict[str, Account] = {}
        self._by_username: dict[str, Account] = {}
        self._roles: dict[int, dict[int, str]] = {}  # account → organisation → role
        self._versions: dict[int, int] = {}
        self._logins: dict[int, frozenset[str]] = {}  # account → those that go on

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, account: Account) -> None:
        """Add an account with its place, or what has become of it."""
        self._forget_names(account.id)
        self._by_id[account.id] = account
        if account.email:
            self._by_email[account.email] = account
        self._by_username[account.username] = account
        self._roles.setdefault(account.id, {})[account.organization_id] = account.role

    def remove(self, id: int) -> None:
        """Forget an account; what its access tokens and logins are known by stays."""
        self._forget_names(id)
        del self._by_id[id], self._roles[id]

    def _forget_names(self, id: int) -> None:
        before = self._by_id.get(id)
        if before is not None:
            self._by_email.pop(before.email, None)
            del self._by_username[before.username]

    def change(self, id: int, **changes: Any) -> None:
        """Replace fields of an account; its places stay."""
        self.put(msgspec.structs.replace(self._by_id[id], **changes))

    def join(self, id: int, organization_id: int, role: str) -> None:
        """Give an account a place in an organisation, or another role there."""
        self._roles[id][organization_id] = role
        self._settle(id)

    def leave(self, id: int, organization_id: int) -> None:
        """Take away an account's place in an organisation; it has another one."""
        del self._roles[id][organization_id]
        self._settle(id)

    def _settle(self, id: int) -> None:
        """Let the account stand in its oldest organisation where none is named."""
        roles = self._roles[id]
        first = min(roles)
        self.change(id, organization_id=first, role=roles[first])

    def places(self, id: int) -> dict[int, str]:
        """Return the organisations that an account belongs to, with its role in each."""
        return dict(self._roles.get(id, {}))

    def version(self, id: int) -> int:
        """Return which access tokens of an account are good: those of this version."""
        return self._versions.get(id, 0)

    def set_version(self, id: int, version: int) -> None:
        """End the access tokens of older versions."""
        self._versions[id] = version

    def has_login(self, id: int, login: str) -> bool:
        """Say whether this login of an account goes on."""
        return login in self._logins.get(id, ())

    def add_login(self, id: int, login: str) -> None:
        """Add a login that goes on."""
        self._logins[id] = self._logins.get(id, frozenset()) | {login}

    def set_logins(self, id: int, logins: frozenset[str]) -> None:
        """Say which logins of an account go on; all others have ended."""
        self._logins[id] = logins

    def find(self, id: int, organization_id: int | None = None) -> Account | None:
        """Return an account by key, in an organisation it belongs to; None = in its oldest."""
        account = self._by_id.get(id)
        if account is None or organization_id is None:
            return account
        role = self._roles[id].get(organization_id)
        if role is None:
            return None
        return msgspec.structs.replace(account, organization_id=organization_id, role=role)

    def by_email(self, email: str) -> Account | None:
        """Return the account with this e-mail address."""
        return self._by_email.get(email.lower())

    def by_username(self, username: str) -> Account | None:
        """Return the account with this user name."""
        return self._by_username.get(username.lower())

    def by_login(self, name: str) -> Account | None:
        """Return the account that signs in with this; user names have no @ in them."""
        return self.by_email(name) if "@" in name else self.by_username(name)

    def of_organization(self, organization_id: int, after_id: int) -> list[Account]:
        """Return an organisation's accounts past this key, in the order they were made."""
        found = [
            account
            for id in self._by_id
            if id > after_id and (account := self.find(id, organization_id)) is not None
        ]
        return sorted(found, key=lambda account: account.id)
