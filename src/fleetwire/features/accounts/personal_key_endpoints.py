"""HTTP: the keys of whoever asks."""

from typing import Annotated

from fastapi import APIRouter, Query, status

from fleetwire.features.accounts.api_key_schemas import (
    ApiKeyPage,
    ApiKeyView,
    NewApiKeyView,
    PersonalKeyRequest,
)
from fleetwire.features.accounts.personal_keys import PersonalKeys
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse

router = APIRouter(prefix="/api/v1/me/keys", tags=["keys"])

TheKeys = Annotated[PersonalKeys, service(PersonalKeys)]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "A key of yours has this name"}},
)
async def create_own_key(body: PersonalKeyRequest, caller: Asks, keys: TheKeys) -> NewApiKeyView:
    """Make a key for a program of yours. Its token is in this answer only.

    It may do what `permissions` say as far as you may do it yourself, and ends with your account.
    """
    made = await keys.create(
        caller,
        name=body.name,
        permissions=body.permissions,
        expires_at=None if body.expires_at is None else parse(body.expires_at, "expires_at"),
    )
    return NewApiKeyView.of(made)


@router.get("")
async def list_own_keys(
    caller: Asks,
    keys: TheKeys,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ApiKeyPage:
    """List your keys in this organisation, without their tokens."""
    page = await keys.list(caller, limit=limit, cursor=cursor)
    return ApiKeyPage(
        items=[ApiKeyView.of(key) for key in page.items], next_cursor=page.next_cursor
    )


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_own_key(key_id: int, caller: Asks, keys: TheKeys) -> None:
    """Revoke one of your keys; what is connected with it is closed at once."""
    await keys.revoke(caller, key_id)
