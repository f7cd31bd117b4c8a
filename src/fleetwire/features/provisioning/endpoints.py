"""HTTP for people: claim codes, fleet keys, and who asks to be let in."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response, status

from fleetwire.features.provisioning import qr
from fleetwire.features.provisioning.approvals import Approvals, Change
from fleetwire.features.provisioning.claims import Claims
from fleetwire.features.provisioning.fleet_keys import FleetKeys
from fleetwire.features.provisioning.newcomers import Newcomer
from fleetwire.features.provisioning.schemas import (
    Approval,
    ClaimPage,
    ClaimRequest,
    ClaimView,
    EnrolmentPage,
    EnrolmentView,
    FleetKeyPage,
    FleetKeyRequest,
    FleetKeyView,
    NewClaimView,
    NewFleetKeyView,
    Refusal,
)
from fleetwire.features.provisioning.way_in import WayIn
from fleetwire.kit import instants
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1", tags=["provisioning"])

TheClaims = Annotated[Claims, service(Claims)]
TheFleetKeys = Annotated[FleetKeys, service(FleetKeys)]
TheApprovals = Annotated[Approvals, service(Approvals)]
TheWayIn = Annotated[WayIn, service(WayIn)]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]

_SVG = "image/svg+xml"
_TOO_MANY: dict[int | str, dict[str, Any]] = {429: {"description": "A bound was reached"}}


@router.post(
    "/claims",
    status_code=status.HTTP_201_CREATED,
    responses=_TOO_MANY | {409: {"description": "The device_id is somebody else's"}},
)
async def create_claim(
    body: ClaimRequest, caller: Asks, request: Request, claims: TheClaims, way_in: TheWayIn
) -> NewClaimView:
    """Make a claim code: who sends it to `/api/v1/provision/claim` gets the MQTT credential."""
    now = instants.now()
    newcomer = Newcomer(
        caller.organization_id,
        body.app,
        body.device_id or "",
        body.type,
        body.name,
        body.attributes,
        body.tags,
    )
    claim, code = await claims.create(
        caller,
        newcomer,
        is_open=body.device_id is None,
        expires_at=body.until(now),
        max_uses=body.uses,
    )
    url = way_in.claim_url(code, str(request.base_url))
    return NewClaimView(claim=ClaimView.of(claim, now), code=code, url=url)


@router.get("/claims")
async def list_claims(
    caller: Asks, claims: TheClaims, limit: Limit = 50, cursor: str | None = None
) -> ClaimPage:
    """List the organisation's claims, the newest first."""
    page = await claims.list(caller, limit=limit, cursor=cursor)
    now = instants.now()
    return ClaimPage(
        items=[ClaimView.of(claim, now) for claim in page.items], next_cursor=page.next_cursor
    )


@router.get(
    "/claims/{claim_id}/qr.svg",
    response_class=Response,
    responses={
        200: {"content": {_SVG: {"schema": {"type": "string"}}}},
        409: {"description": "The claim is used, expired or revoked"},
    },
)
async def show_claim(
    claim_id: Id, caller: Asks, request: Request, claims: TheClaims, way_in: TheWayIn
) -> Response:
    """Draw the QR code of an open claim; it holds the URL at which the device is claimed."""
    code = await claims.show(caller, claim_id)
    drawn = qr.svg(way_in.claim_url(code, str(request.base_url)))
    return Response(drawn, media_type=_SVG, headers={"Cache-Control": "no-store"})


@router.delete("/claims/{claim_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_claim(claim_id: Id, caller: Asks, claims: TheClaims) -> None:
    """Let nobody use a claim any more; devices that came by it stay."""
    await claims.revoke(caller, claim_id)


@router.post("/fleet-keys", status_code=status.HTTP_201_CREATED, responses=_TOO_MANY)
async def create_fleet_key(
    body: FleetKeyRequest, caller: Asks, keys: TheFleetKeys
) -> NewFleetKeyView:
    """Make a key with which many devices ask to be let in. Its text is in this answer only."""
    key, text = await keys.create(
        caller,
        name=body.name,
        app=body.app,
        type=body.type,
        tags=body.tags,
        auto_approve=body.auto_approve,
        max_devices=body.max_devices,
        expires_at=body.until(instants.now()),
    )
    return NewFleetKeyView(key=FleetKeyView.of(key), fleet_key=text)


@router.get("/fleet-keys")
async def list_fleet_keys(
    caller: Asks, keys: TheFleetKeys, limit: Limit = 50, cursor: str | None = None
) -> FleetKeyPage:
    """List the organisation's fleet keys, the oldest first."""
    page = await keys.list(caller, limit=limit, cursor=cursor)
    return FleetKeyPage(
        items=[FleetKeyView.of(key) for key in page.items], next_cursor=page.next_cursor
    )


@router.delete("/fleet-keys/{key_id}", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_fleet_key(key_id: Id, caller: Asks, keys: TheFleetKeys) -> None:
    """Let nobody ask with a fleet key any more; devices that have come in stay."""
    await keys.revoke(caller, key_id)


@router.get("/enrolments")
async def list_enrolments(
    caller: Asks,
    approvals: TheApprovals,
    state: Annotated[
        str | None, Query(max_length=16, description="pending, approved, refused or enrolled")
    ] = None,
    app: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> EnrolmentPage:
    """List devices that asked to be let in or came in by themselves, as they first came."""
    page = await approvals.list(caller, state=state, app=app, limit=limit, cursor=cursor)
    return EnrolmentPage(
        items=[EnrolmentView.of(each) for each in page.items], next_cursor=page.next_cursor
    )


@router.get("/enrolments/{enrolment_id}")
async def read_enrolment(enrolment_id: Id, caller: Asks, approvals: TheApprovals) -> EnrolmentView:
    """Return one request, with what the device says of itself."""
    return EnrolmentView.of(await approvals.get(caller, enrolment_id))


@router.post(
    "/enrolments/{enrolment_id}/approve",
    responses=_TOO_MANY | {409: {"description": "It is in already, or its device_id is taken"}},
)
async def approve_enrolment(
    enrolment_id: Id, body: Approval, caller: Asks, approvals: TheApprovals
) -> EnrolmentView:
    """Let a device in: it gets its credential when it asks the next time."""
    change = Change(body.type, body.name, body.attributes, body.tags)
    return EnrolmentView.of(await approvals.approve(caller, enrolment_id, change))


@router.post(
    "/enrolments/{enrolment_id}/refuse", responses={409: {"description": "It is in already"}}
)
async def refuse_enrolment(
    enrolment_id: Id, body: Refusal, caller: Asks, approvals: TheApprovals
) -> EnrolmentView:
    """Keep a device out; it is told the reason."""
    return EnrolmentView.of(await approvals.refuse(caller, enrolment_id, body.reason))
