"""HTTP: credentials of all of an organisation's devices."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fleetwire.features.devices.expiry import CredentialExpiry, ExpiringCredential
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1/credentials", tags=["devices"])

TheExpiry = Annotated[CredentialExpiry, service(CredentialExpiry)]


class ExpiringView(BaseModel):
    """A credential that ends soon."""

    id: int
    app: str
    device_id: str
    kind: str = Field(description="token or certificate")
    expires_at: str
    last_used_at: str | None
    is_outlived: bool = Field(description="the device has another one that lives longer")

    @classmethod
    def of(cls, credential: ExpiringCredential) -> "ExpiringView":
        """Return the view of a credential."""
        used_at = credential.last_used_at
        return cls(
            id=credential.id,
            app=credential.app,
            device_id=credential.device_id,
            kind=credential.kind,
            expires_at=iso(credential.expires_at),
            last_used_at=None if used_at is None else iso(used_at),
            is_outlived=credential.is_outlived,
        )


class ExpiringPage(BaseModel):
    """One page of credentials, those that end soonest first."""

    items: list[ExpiringView]
    next_cursor: str | None = None


@router.get("/expiring")
async def list_expiring(
    caller: Asks,
    expiry: TheExpiry,
    within: Annotated[str, Query(max_length=32, examples=["30d"])] = "30d",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ExpiringPage:
    """List the organisation's usable credentials that end within a time, soonest first."""
    page = await expiry.list(caller, parse_duration(within, "within"), limit=limit, cursor=cursor)
    return ExpiringPage(
        items=[ExpiringView.of(each) for each in page.items], next_cursor=page.next_cursor
    )
