"""HTTP: `/api/checkouts`, lending and giving back."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from fleetwire.apps.tablets import audit_log, checkout_book, checkouts, fleet
from fleetwire.apps.tablets.checkouts import Lending, Returning
from fleetwire.apps.tablets.presence import APP
from fleetwire.apps.tablets.schemas import CancelBody, CheckoutBody, ReturnBody
from fleetwire.apps.tablets.web import (
    WRONG_REQUEST,
    Answer,
    TheAudit,
    TheClock,
    TheDevices,
    TheStore,
)
from fleetwire.kit import (
    CREATES,
    Asks,
    Caller,
    Device,
    Devices,
    InvalidValueError,
    Result,
    Store,
    Transaction,
)
from fleetwire.kit.instants import parse

Key = Annotated[int, Path(ge=1, lt=2**63)]
Status = Literal["ACTIVE", "PARTIAL_RETURN", "RETURNED", "CANCELLED"]
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "The checkout is over"}}

router = APIRouter(prefix="/api/checkouts", tags=["checkouts"], responses=WRONG_REQUEST)


@router.get("/", include_in_schema=False)
@router.get("")
async def list_checkouts(
    caller: Asks,
    store: TheStore,
    status: Status | None = None,
    search: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Answer:
    """List checkouts, newest first."""
    caller.require("device.read")
    found, total = await store.read(
        lambda connection: checkout_book.search(
            connection,
            caller.organization_id,
            status=status,
            text=search,
            limit=limit,
            offset=offset,
        )
    )
    return {"success": True, "data": found, "total": total, "limit": limit, "offset": offset}


@router.post("/", include_in_schema=False)
@router.post(
    "",
    responses={400: {"description": "A device is not AVAILABLE: see details"}},
    openapi_extra=CREATES,
)
async def lend(
    body: CheckoutBody,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    audit: TheAudit,
    clock: TheClock,
) -> Answer:
    """Lend tablets to somebody: all of them, or none."""
    caller.require("command.send")
    start_at, end_at = parse(body.start_time, "startTime"), parse(body.end_time, "endTime")
    if end_at <= start_at:
        raise InvalidValueError("endTime must be after startTime", field="endTime")
    lending = Lending(
        caller.organization_id,
        body.company,
        str(body.borrower_id),
        body.charger,
        [str(each) for each in body.device_ids],
        start_at,
        end_at,
        body.usage_notes,
        caller.actor,
    )
    known = {
        each.row.code: devices.find(APP, each.row.code)
        for each in await fleet.all_of(caller, devices, store)
    }
    at = clock.now()

    def work(tx: Transaction) -> Result[int]:
        lent = checkouts.lend(tx, lending, known.get, at)
        detail = {"company": body.company, "devices": lending.tablets}
        audit_log.add(tx, caller, "checkout.create", str(lent.value), at, detail)
        return lent

    key = await store.apply(work)
    await audit.record(caller, "tablet.checkout", f"checkout:{key}", detail={"outcome": "lent"})
    return await _read(caller, key, store)


@router.get("/{id}")
async def read_checkout(id: Key, caller: Asks, store: TheStore) -> Answer:
    """Return a checkout with its items."""
    caller.require("device.read")
    return await _read(caller, id, store)


@router.post("/{id}/return", responses=CONFLICT)
async def give_back(
    id: Key,
    body: ReturnBody,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    audit: TheAudit,
    clock: TheClock,
) -> Answer:
    """Take items back: all that are named, or none."""
    caller.require("command.send")
    returning = _returning(body)
    known = await _devices_of(caller, id, devices, store)
    at = clock.now()

    def work(tx: Transaction) -> Result[None]:
        audit_log.add(tx, caller, "checkout.return", str(id), at, {"items": list(returning)})
        return checkouts.give_back(
            tx, caller.organization_id, id, list(returning.values()), known.get, caller.actor, at
        )

    await store.apply(work)
    await audit.record(caller, "tablet.checkout", f"checkout:{id}", detail={"outcome": "returned"})
    return await _read(caller, id, store)


@router.post("/{id}/cancel", responses=CONFLICT)
async def cancel(
    id: Key,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    audit: TheAudit,
    clock: TheClock,
    body: CancelBody | None = None,
) -> Answer:
    """End a checkout that did not take place."""
    caller.require("command.send")
    reason = None if body is None else body.reason
    known = await _devices_of(caller, id, devices, store)
    at = clock.now()

    def work(tx: Transaction) -> Result[None]:
        audit_log.add(tx, caller, "checkout.cancel", str(id), at, {"reason": reason})
        return checkouts.cancel(tx, caller.organization_id, id, reason, known.get, caller.actor, at)

    await store.apply(work)
    await audit.record(caller, "tablet.checkout", f"checkout:{id}", detail={"outcome": "cancelled"})
    return await _read(caller, id, store)


def _returning(body: ReturnBody) -> dict[int, Returning]:
    found: dict[int, Returning] = {}
    for each in body.items or []:
        if each.item_id in found:  # which of the two is how it came back?
            raise InvalidValueError(f"items names {each.item_id} twice", field="items")
        found[each.item_id] = Returning(
            each.item_id, each.problem, each.solution, each.maintenance_status, each.return_notes
        )
    for item_id in body.item_ids or []:
        found.setdefault(item_id, Returning(item_id))
    if not found:
        raise InvalidValueError("Name what is returned: items or itemIds", field="items")
    return found


async def _devices_of(
    caller: Caller, checkout: int, devices: Devices, store: Store
) -> dict[str, Device | None]:
    codes = await store.read(
        lambda connection: checkout_book.codes_of(connection, caller.organization_id, checkout)
    )
    return {code: devices.find(APP, code) for code in codes}


async def _read(caller: Caller, checkout: int, store: Store) -> Answer:
    found = await store.read(
        lambda connection: checkout_book.read(connection, caller.organization_id, checkout)
    )
    return {"success": True, "data": found}
