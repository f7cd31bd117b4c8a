"""Commands as they are stored, or the refusal that says which one is not there."""

from sqlalchemy import Connection

from fleetwire.errors import NotFoundError
from fleetwire.features.commands import repository
from fleetwire.features.commands.repository import Owner
from fleetwire.kit.services import Caller, CommandRecord


def read(connection: Connection, command_id: str) -> tuple[Owner, CommandRecord]:
    """Return whose a command is, and the command. Raises NotFoundError."""
    owner = repository.find_owner(connection, command_id)
    if owner is None:
        raise not_found(command_id)
    return owner, read_record(connection, command_id)


def read_record(connection: Connection, command_id: str) -> CommandRecord:
    """Return a command with its timeline. Raises NotFoundError."""
    record = repository.find_record(connection, command_id)
    if record is None:
        raise not_found(command_id)
    return record


def check_owner(caller: Caller, owner: Owner) -> None:
    """Raise NotFoundError for another organisation's command: who may not see it learns nothing."""
    if owner.organization_id != caller.organization_id:
        raise not_found(owner.id)


def not_found(command_id: str) -> NotFoundError:
    """Return the error that there is no such command."""
    return NotFoundError(f"There is no command {command_id[:32]!r}.")
