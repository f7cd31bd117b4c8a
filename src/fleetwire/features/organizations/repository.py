"""Organisations and memberships as rows."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.features.organizations.tables import members, organizations
from fleetwire.store.database import Transaction


class Organization(msgspec.Struct):
    """A group of people with the devices they share."""

    id: int
    name: str
    created_at: int


class Membership(msgspec.Struct, frozen=True):
    """An account's place in an organisation."""

    organization_id: int
    account_id: int
    role: str


def insert_organization(tx: Transaction, name: str, at: int) -> int:
    """Store an organisation and return its key. Raises IntegrityError if the name is taken."""
    row = {"name": name, "created_at": at}
    key = tx.execute(insert(organizations).values(row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def count_organizations(connection: Connection) -> int:
    """Return how many organisations share this server."""
    return connection.scalar(select(func.count()).select_from(organizations)) or 0


def oldest_organization(connection: Connection) -> int:
    """Return the key of the organisation that was there first, 0 if there is none."""
    return connection.scalar(select(func.min(organizations.c.id))) or 0


def first_organization(connection: Connection) -> int:
    """Return the key of the organisation that was made first, 0 if there is none."""
    return connection.scalar(select(func.min(organizations.c.id))) or 0


def find_organization(connection: Connection, id: int) -> Organization | None:
    """Return an organisation by key."""
    query = select(organizations.c.id, organizations.c.name, organizations.c.created_at)
    row = connection.execute(query.where(organizations.c.id == id)).one_or_none()
    return None if row is None else Organization(*row)


def find_organization_by_name(connection: Connection, name: str) -> Organization | None:
    """Return an organisation by its name."""
    query = select(organizations.c.id, organizations.c.name, organizations.c.created_at)
    row = connection.execute(query.where(organizations.c.name == name)).one_or_none()
    return None if row is None else Organization(*row)


def rename_organization(tx: Transaction, id: int, name: str) -> bool:
    """Change the name; False if there is no such organisation."""
    change = update(organizations).where(organizations.c.id == id).values(name=name)
    return tx.execute(change).rowcount == 1


def insert_member(tx: Transaction, membership: Membership, at: int) -> None:
    """Let an account belong to an organisation."""
    row = {**msgspec.structs.asdict(membership), "created_at": at}
    tx.execute(insert(members).values(row))


def set_role(tx: Transaction, membership: Membership) -> None:
    """Store the role of a member."""
    tx.execute(
        update(members)
        .where(
            members.c.organization_id == membership.organization_id,
            members.c.account_id == membership.account_id,
        )
        .values(role=membership.role)
    )


def all_members(connection: Connection) -> Sequence[Membership]:
    """Return every membership, the oldest organisation first."""
    query = select(members.c.organization_id, members.c.account_id, members.c.role)
    rows = connection.execute(query.order_by(members.c.organization_id, members.c.account_id))
    return [Membership(*row) for row in rows]


def members_of_account(connection: Connection, account_id: int) -> Sequence[Membership]:
    """Return an account's memberships, the oldest organisation first."""
    query = select(members.c.organization_id, members.c.account_id, members.c.role)
    query = query.where(members.c.account_id == account_id).order_by(members.c.organization_id)
    return [Membership(*row) for row in connection.execute(query)]


def remove_member(tx: Transaction, organization_id: int, account_id: int) -> None:
    """End a membership."""
    tx.execute(
        delete(members).where(
            members.c.organization_id == organization_id, members.c.account_id == account_id
        )
    )


def find_organizations(connection: Connection, ids: Sequence[int]) -> Sequence[Organization]:
    """Return these organisations, the oldest first."""
    query = select(organizations.c.id, organizations.c.name, organizations.c.created_at)
    query = query.where(organizations.c.id.in_(ids)).order_by(organizations.c.id)
    return [Organization(*row) for row in connection.execute(query)]


def members_with_role(connection: Connection, organization_id: int, role: str) -> Sequence[int]:
    """Return the accounts that have this role."""
    query = select(members.c.account_id).where(
        members.c.organization_id == organization_id, members.c.role == role
    )
    return connection.scalars(query).all()
