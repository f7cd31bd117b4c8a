"""HTTP: the keys that services sign in with."""

from typing import Annotated

from fastapi import APIRouter, Query, status

from fleetwire.features.accounts.api_key_schemas import (
    ApiKeyPage,
    ApiKeyRequest,
    ApiKeyView,
    NewApiKeyView,
)
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse

router = APIRouter(prefix="/api/v1/api-keys", tags=["keys"])

TheKeys = Annotated[ApiKeys, service(ApiKeys)]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "The name is taken"}},
)
async def create_key(body: ApiKeyRequest, caller: Asks, keys: TheKeys) -> NewApiKeyView:
    """Make a key for a service. Its token is in this answer only."""
    expires_at = None if body.expires_at is None else parse(body.expires_at, "expires_at")
    made = await keys.create(
        caller,
        name=body.name,
        publish=body.publish,
        subscribe=body.subscribe,
        expires_at=expires_at,
        permissions=body.permissions,
    )
    return NewApiKeyView.of(made)


@router.get("")
async def list_keys(
    caller: Asks,
    keys: TheKeys,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ApiKeyPage:
    """List your organisation's keys and those of its people, without their tokens."""
    page = await keys.list(caller, limit=limit, cursor=cursor)
    return ApiKeyPage(
        items=[ApiKeyView.of(key) for key in page.items], next_cursor=page.next_cursor
    )


@router.delete("/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_key(key_id: int, caller: Asks, keys: TheKeys) -> None:
    """Revoke a key; what is connected with it is closed at once."""
    await keys.revoke(caller, key_id)
