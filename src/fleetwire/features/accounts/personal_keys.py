"""PersonalKeys: what a person's own programs sign in with.

A key may do what its permissions say as far as its person may do it at this moment. It ends with
his account or his membership, and lasts through a change of his password.
"""

from collections.abc import Sequence
from typing import Any

from fleetwire.errors import ConflictError, InvalidValueError, TooManyError
from fleetwire.features.accounts import api_key_repository as repository
from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.api_keys import ApiKeys, NewApiKey
from fleetwire.features.accounts.key_rules import check_end, check_name, check_scope
from fleetwire.features.accounts.part import require_person
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Transaction

PERSONAL = "personal"
MAX_OWN_KEYS = 100  # usable ones of one person in one organisation


class PersonalKeys:
    """Needs no permission: everybody manages his own keys, but no key manages keys."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        permissions: Sequence[str],
        expires_at: int | None = None,
    ) -> NewApiKey:
        """Make a key of the caller's own for the organisation he is signed in to.

        Raises InvalidValueError, ForbiddenError for what he may not do himself, ConflictError if
        one of his keys has the name, TooManyError past the bound.
        """
        require_person(caller)
        check_name(name)
        scope = check_scope(caller, permissions)
        if not scope:
            raise InvalidValueError("A key needs a permission.", field="permissions")
        at = self._keys.now()
        check_end(expires_at, at)
        place, whose = caller.organization_id, caller.account_id

        def check(tx: Transaction) -> None:
            if repository.count_usable(tx.connection, place, at, None, whose) >= MAX_OWN_KEYS:
                raise TooManyError(f"You have {MAX_OWN_KEYS} keys, which is the most: revoke one.")
            if repository.count_usable(tx.connection, place, at, name, whose):
                raise ConflictError("A key of yours has this name already.", field="name")

        what: dict[str, Any] = {
            "name": name,
            "kind": PERSONAL,
            "publish": [],
            "subscribe": [],
            "expires_at": expires_at,
            "account_id": whose,
        }
        return await self._keys.issue(caller, what, scope, check)

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> Page[ApiKey]:
        """Return the caller's keys in the order they were made, also those that are over."""
        require_person(caller)
        return await self._keys.page(caller, limit, cursor, caller.account_id)

    async def revoke(self, caller: Caller, key_id: int) -> None:
        """Revoke one of the caller's keys and close what is connected with it.

        Raises NotFoundError.
        """
        require_person(caller)
        await self._keys.end(caller, key_id, caller.account_id)
