"""HTTP: signing in, and the organisation's accounts.

`login_router` can be served on every listener, so that a token can be had there, too.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status

from fleetwire.features.accounts.directory import tag_of
from fleetwire.features.accounts.schemas import (
    AccountChange,
    AccountPage,
    AccountView,
    Login,
    MeView,
    NewAccount,
    PasswordChange,
    RefreshRequest,
    Switch,
    TokensView,
)
from fleetwire.features.accounts.service import Accounts
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.http import Asks, service
from fleetwire.kit.people import remote_of

login_router = APIRouter(prefix="/api/v1/auth", tags=["sign in"])
router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])

TheAccounts = Annotated[Accounts, service(Accounts)]

_TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"description": "Too many attempts failed; Retry-After says how many seconds to wait"}
}
_WRONG: dict[int | str, dict[str, Any]] = {401: {"description": "Wrong, expired or revoked"}}


@login_router.post("/login", responses=_WRONG | _TOO_MANY)
async def login(body: Login, request: Request, accounts: TheAccounts) -> TokensView:
    """Sign in."""
    return TokensView.of(
        await accounts.login(
            body.username,
            body.password,
            remote_of(request),
            organization_id=body.organization,
        )
    )


@login_router.post("/switch")
async def switch(body: Switch, caller: Asks, accounts: TheAccounts) -> TokensView:
    """Return tokens for another organisation that you belong to; those you have stay good."""
    return TokensView.of(await accounts.switch(caller, body.organization))


@login_router.post("/refresh", responses=_WRONG)
async def refresh(body: RefreshRequest, request: Request, accounts: TheAccounts) -> TokensView:
    """Return new tokens. The refresh token is used up; using it again ends the login."""
    return TokensView.of(await accounts.refresh(body.refresh_token, remote_of(request)))


@login_router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: RefreshRequest, accounts: TheAccounts) -> None:
    """End the login that the refresh token belongs to."""
    await accounts.logout(body.refresh_token)


@login_router.get("/me")
async def read_me(caller: Asks, accounts: TheAccounts) -> MeView:
    """Return who you are and what you may do."""
    return MeView(
        account=AccountView.of(accounts.me(caller)), permissions=sorted(caller.permissions)
    )


@login_router.post("/change-password", status_code=status.HTTP_204_NO_CONTENT, responses=_TOO_MANY)
async def change_password(body: PasswordChange, caller: Asks, accounts: TheAccounts) -> None:
    """Change your password; all your logins end, this one, too."""
    await accounts.change_password(caller, body.old_password, body.new_password)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "E-mail address or user name is taken"}},
)
async def create_account(body: NewAccount, caller: Asks, accounts: TheAccounts) -> AccountView:
    """Make an account in your organisation."""
    account = await accounts.create_account(
        caller,
        email=body.email,
        username=body.username,
        full_name=body.full_name,
        role=body.role,
        password=body.password,
    )
    return AccountView.of(account)


@router.get("")
async def list_accounts(
    caller: Asks,
    accounts: TheAccounts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> AccountPage:
    """List your organisation's accounts."""
    page = await accounts.list(caller, limit=limit, cursor=cursor)
    return AccountPage(
        items=[AccountView.of(account) for account in page.items], next_cursor=page.next_cursor
    )


@router.get("/{account_id}")
async def read_account(
    account_id: int, caller: Asks, accounts: TheAccounts, response: Response
) -> AccountView:
    """Return one account."""
    account = await accounts.get(caller, account_id)
    response.headers["ETag"] = tag_of(account)
    return AccountView.of(account)


@router.patch("/{account_id}", responses=PRECONDITIONS | {409: {"description": "A name is taken"}})
async def change_account(
    account_id: int,
    body: AccountChange,
    caller: Asks,
    accounts: TheAccounts,
    if_match: IfMatch,
    response: Response,
) -> AccountView:
    """Change what is sent. Another password, or closing the account, ends all its logins."""
    account = await accounts.update(
        caller,
        account_id,
        email=body.email,
        username=body.username,
        full_name=body.full_name,
        role=body.role,
        password=body.password,
        is_active=body.is_active,
        expects=lambda found: if_match.check(tag_of(found)),
    )
    response.headers["ETag"] = tag_of(account)
    return AccountView.of(account)


@router.delete(
    "/{account_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"description": "It is the organisation's last owner"}},
)
async def close_account(
    account_id: int,
    caller: Asks,
    accounts: TheAccounts,
    erase: Annotated[bool, Query(description="remove names and address, too, for good")] = False,
) -> None:
    """Close an account. It stays on record and can be opened again, unless it is erased."""
    if erase:
        await accounts.erase(caller, account_id)
    else:
        await accounts.deactivate(caller, account_id)


@router.delete(
    "/{account_id}/membership",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"description": "The last owner, or a member of nothing else"}},
)
async def remove_member(account_id: int, caller: Asks, accounts: TheAccounts) -> None:
    """End somebody's membership in your organisation; the account stays in others."""
    await accounts.remove_member(caller, account_id)
