"""PeopleService: the house's people as apps sign them in and manage them."""

from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.key_ring import PREFIX
from fleetwire.features.accounts.logins import Tokens
from fleetwire.features.accounts.part import caller_for
from fleetwire.features.accounts.password_resets import PasswordResets
from fleetwire.features.accounts.rules import bare_name, realm_of
from fleetwire.features.accounts.service import Accounts
from fleetwire.kit.people import People, Person, SignedIn
from fleetwire.kit.services import Caller, Page


class PeopleService(People):
    """Asks the accounts, and the keys for tokens that are no access tokens."""

    def __init__(self, accounts: Accounts, keys: ApiKeys, resets: PasswordResets) -> None:
        self._accounts = accounts
        self._keys = keys
        self._resets = resets

    async def sign_in(
        self,
        username_or_email: str,
        password: str,
        remote: str,
        *,
        realm: str = "",
        organization_id: int | None = None,
    ) -> SignedIn:
        name = self._accounts.name_in(realm, username_or_email)
        tokens = await self._accounts.login(name, password, remote, organization_id=organization_id)
        return _signed_in(tokens, remote)

    async def renew(self, refresh_token: str, remote: str) -> SignedIn:
        return _signed_in(await self._accounts.refresh(refresh_token, remote), remote)

    async def sign_out(self, token: str) -> None:
        await self._accounts.logout(token)

    async def verify(self, token: str, remote: str) -> Caller:
        if token.startswith(PREFIX):
            return self._keys.authenticate(token, remote)
        return await self._accounts.authenticate_token(token, remote)

    def me(self, caller: Caller) -> Person:
        return _person(self._accounts.me(caller))

    async def get(self, caller: Caller, person_id: int) -> Person:
        return _person(await self._accounts.get(caller, person_id))

    async def list(
        self,
        caller: Caller,
        *,
        realm: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Person]:
        page = await self._accounts.list(caller, realm=realm, limit=limit, cursor=cursor)
        return Page([_person(each) for each in page.items], page.next_cursor)

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
        account = await self._accounts.create_account(
            caller,
            email=email or None,
            username=username,
            role=role,
            full_name=full_name,
            password=password,
            realm=realm,
        )
        return _person(account)

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
        account = await self._accounts.update(
            caller,
            person_id,
            email=email,
            username=username,
            full_name=full_name,
            role=role,
            password=password,
            is_active=is_active,
        )
        return _person(account)

    async def delete(self, caller: Caller, person_id: int) -> None:
        await self._accounts.erase(caller, person_id)

    async def change_password(self, caller: Caller, old: str, new: str) -> None:
        await self._accounts.change_password(caller, old, new)

    async def reset_password(self, token: str, new: str, remote: str) -> None:
        await self._resets.reset(token, new, remote)

    async def create_for_demo(
        self, organization_id: int, *, username: str, password: str, role: str, realm: str
    ) -> Person | None:
        account = await self._accounts.create_known(
            organization_id, username=username, password=password, role=role, realm=realm
        )
        return None if account is None else _person(account)


def _person(account: Account) -> Person:
    return Person(
        id=account.id,
        username=bare_name(account.username),
        realm=realm_of(account.username),
        email=account.email,
        full_name=account.full_name,
        role=account.role,
        is_active=account.is_active,
        organization_id=account.organization_id,
        created_at=account.created_at,
        last_login_at=account.last_login_at,
    )


def _signed_in(tokens: Tokens, remote: str) -> SignedIn:
    return SignedIn(
        token=tokens.access_token,
        expires_at=tokens.expires_at,
        refresh_token=tokens.refresh_token,
        refresh_expires_at=tokens.refresh_expires_at,
        person=_person(tokens.account),
        caller=caller_for(tokens.account, remote, tokens.login),
    )
