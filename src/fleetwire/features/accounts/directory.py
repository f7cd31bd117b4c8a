"""Directory: all accounts in memory, as the database has them.

Every request asks it, so that a closed account or another role counts from the next request on.
"""

from typing import Any

import msgspec


class Account(msgspec.Struct, frozen=True):
    """A person's account and its place in an organisation; the password's hash is not here."""

    id: int
    email: str
    username: str
    full_name: str | None
    is_active: bool
    created_at: int
    last_login_at: int | None
    organization_id: int
    role: str


class Directory:
    """Finds accounts by key, e-mail and user name. Changed after each commit, in commit order."""

    def __init__(self) -> None:
        self._by_id: dict[int, Account] = {}
        self._by_email: dict[str, Account] = {}
        self._by_username: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def put(self, account: Account) -> None:
        """Add an account, or what has become of it."""
        before = self._by_id.get(account.id)
        if before is not None:
            del self._by_email[before.email]
            del self._by_username[before.username]
        self._by_id[account.id] = account
        self._by_email[account.email] = account
        self._by_username[account.username] = account

    def change(self, id: int, **changes: Any) -> None:
        """Replace fields of an account."""
        self.put(msgspec.structs.replace(self._by_id[id], **changes))

    def find(self, id: int) -> Account | None:
        """Return an account by key."""
        return self._by_id.get(id)

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
            for account in self._by_id.values()
            if account.organization_id == organization_id and account.id > after_id
        ]
        return sorted(found, key=lambda account: account.id)
