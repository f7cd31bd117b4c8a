"""Requests to enrol as rows: who asked, in which state that is, who decided."""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from fleetwire.features.provisioning.tables import enrolments
from fleetwire.store.database import Transaction

PENDING: Final = "pending"
APPROVED: Final = "approved"
REFUSED: Final = "refused"
ENROLLED: Final = "enrolled"
STATES: Final = (PENDING, APPROVED, REFUSED, ENROLLED)

_DAY_US: Final = 86_400_000_000
# For people to decide, and for the device to fetch its credential afterwards.
LIFE_US: Final = 7 * _DAY_US


class Request(msgspec.Struct):
    """One device that asked, or that came in by itself. Instants are in microseconds UTC.

    `asked` is how often; `device` and `credential` are our keys of what it was given.
    """

    id: int
    organization_id: int
    way: str
    fleet_key: int | None
    app: str
    device_id: str
    type: str
    name: str | None
    facts: dict[str, Any]
    attributes: dict[str, Any]
    tags: list[str]
    state: str
    reason: str
    device: int | None
    credential: int | None
    remote: str
    asked: int
    asked_at: int
    expires_at: int | None
    decided_at: int | None
    decided_by: str | None

    def is_over(self, now: int) -> bool:
        """Say whether it waited too long for a decision, or its device to fetch the credential."""
        waits = self.state in (PENDING, APPROVED)
        return waits and self.expires_at is not None and self.expires_at <= now


_columns = tuple(enrolments.c[name] for name in Request.__struct_fields__)


def insert_request(tx: Transaction, row: dict[str, Any]) -> int:
    """Store a request and return its key."""
    empty: dict[str, Any] = {
        "fleet_key": None, "name": None, "facts": {}, "attributes": {}, "tags": [], "reason": "",
        "poll_hash": None, "device": None, "credential": None, "remote": "", "asked": 1,
        "expires_at": None, "decided_at": None, "decided_by": None,
    }  # fmt: skip
    key = tx.execute(insert(enrolments).values(empty | row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def change_request(tx: Transaction, id: int, changes: dict[str, Any]) -> None:
    """Change columns of a request."""
    tx.execute(update(enrolments).where(enrolments.c.id == id).values(changes))


def find_own(connection: Connection, organization_id: int, id: int) -> Request | None:
    """Return an organisation's request by its number."""
    query = select(*_columns).where(
        enrolments.c.id == id, enrolments.c.organization_id == organization_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Request(*row)


def find_of_key(connection: Connection, fleet_key: int, device_id: str) -> Request | None:
    """Return what a device asked with this fleet key."""
    query = select(*_columns).where(
        enrolments.c.fleet_key == fleet_key, enrolments.c.device_id == device_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Request(*row)


def find_by_poll(connection: Connection, poll_hash: str) -> Request | None:
    """Return the request whose poll token has this hash."""
    row = connection.execute(
        select(*_columns).where(enrolments.c.poll_hash == poll_hash)
    ).one_or_none()
    return None if row is None else Request(*row)


def list_requests(
    connection: Connection,
    organization_id: int,
    *,
    state: str | None,
    app: str | None,
    after_id: int,
    limit: int,
) -> list[Request]:
    """Return an organisation's requests after this one, in the order in which they first came."""
    query = select(*_columns).where(
        enrolments.c.organization_id == organization_id, enrolments.c.id > after_id
    )
    if state is not None:
        query = query.where(enrolments.c.state == state)
    if app is not None:
        query = query.where(enrolments.c.app == app)
    query = query.order_by(enrolments.c.id).limit(limit)
    return [Request(*row) for row in connection.execute(query)]


def count_pending(connection: Connection, fleet_key: int, now: int) -> int:
    """Return how many devices wait for a decision with this key."""
    query = select(func.count()).where(
        enrolments.c.fleet_key == fleet_key,
        enrolments.c.state == PENDING,
        enrolments.c.expires_at > now,
    )
    return connection.scalar(query) or 0


def devices_of_way(connection: Connection, way: str) -> list[int]:
    """Return our keys of the devices that came in this way, also of those since removed."""
    query = select(enrolments.c.device).where(
        enrolments.c.way == way, enrolments.c.device.is_not(None)
    )
    return [int(key) for key in connection.scalars(query) if key is not None]
