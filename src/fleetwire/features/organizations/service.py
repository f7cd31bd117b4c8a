"""Organizations: the caller's own organisation."""

from collections.abc import Callable

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.organizations import repository
from fleetwire.features.organizations.repository import Organization
from fleetwire.kit.etags import etag
from fleetwire.kit.services import Caller
from fleetwire.store.database import Database, Transaction

READ = "organization.read"
WRITE = "organization.write"
MAX_NAME_CHARS = 200


def tag_of(organization: Organization) -> str:
    """Return the tag of what people set of an organisation."""
    return etag(organization.id, organization.name)


class Organizations:
    """Shows and renames the organisation that the caller belongs to."""

    def __init__(self, db: Database, audit: SqlAudit) -> None:
        self._db = db
        self._audit = audit

    async def get(self, caller: Caller) -> Organization:
        """Return the caller's organisation."""
        caller.require(READ)
        found = await self._db.read(
            lambda connection: repository.find_organization(connection, caller.organization_id)
        )
        if found is None:
            raise NotFoundError("Your organisation does not exist any more.")
        return found

    async def rename(
        self,
        caller: Caller,
        name: str,
        *,
        expects: Callable[[Organization], None] = lambda organization: None,
    ) -> Organization:
        """Change the name. Raises ConflictError if another organisation has it.

        `expects` is called with the organisation as it is and may raise.
        """
        caller.require(WRITE)
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise InvalidValueError(
                f"name must be printable text of 1 to {MAX_NAME_CHARS} characters", field="name"
            )

        def work(tx: Transaction) -> None:
            found = repository.find_organization(tx.connection, caller.organization_id)
            if found is None:
                raise NotFoundError("Your organisation does not exist any more.")
            expects(found)
            repository.rename_organization(tx, caller.organization_id, name)
            subject = f"organization:{caller.organization_id}"
            self._audit.record_in(
                tx, caller, "organization.renamed", subject, detail={"name": name}
            )

        try:
            await self._db.write(work)
        except IntegrityError:
            raise ConflictError("Another organisation has this name.", field="name") from None
        return await self.get(caller)
