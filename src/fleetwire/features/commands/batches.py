"""BatchService: one command to many devices, and how far that has come.

The batch is stored with its list of devices, and one worker gives each of them a command of its
own. That a device has its command is known by the idempotency key that the batch and the device
make, so a batch that the end of the process broke off goes on where it was and sends nothing
twice.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import structlog

from fleetwire.errors import (
    ConflictError,
    DomainError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.commands import batch_repository as repository
from fleetwire.features.commands.batch_repository import Work
from fleetwire.features.commands.repository import list_of_batch
from fleetwire.features.commands.service import READ, SEND, CommandService
from fleetwire.features.commands.terms import MAX_ACTOR_CHARS, Terms, check_states, terms_of
from fleetwire.features.devices.groups import Groups
from fleetwire.features.devices.registry import Registry
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, CommandBatch, CommandBatches, CommandRecord, Page
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.commands")

MAX_DEVICES = 20_000
MAX_UNSPREAD = 100  # batches under way at once
MAX_REFUSED = 100  # that are told one by one
AT_ONCE = 64  # commands stored together: what one commit takes
RETRY_S = 1.0


class BatchService(CommandBatches):
    """Takes batches, and spreads them over their devices."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        commands: CommandService,
        groups: Groups,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._commands = commands
        self._groups = groups
        self._clock = clock
        self._unspread = 0
        self._wake = asyncio.Event()
        self._wake.set()  # something may be left from before

    async def send(
        self,
        caller: Caller,
        app: str,
        device_ids: Sequence[str],
        name: str,
        parameters: dict[str, Any],
        *,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandBatch:
        """Store a batch; its commands follow within moments, their deadline counts from now.

        Raises NotFoundError naming the first device that is not there, TooManyError past a bound.
        """
        caller.require(SEND)
        devices = [device.id for device in self._devices(caller, app, device_ids)]
        terms = self._terms(
            app, name, parameters, expires_in_s, idempotency_key, lane, supersede, retry
        )
        return await self._store(caller, app, terms, devices, sorted(devices), {})

    async def send_to(
        self,
        caller: Caller,
        name: str,
        parameters: dict[str, Any],
        *,
        group: str | None = None,
        query: str | None = None,
        app: str | None = None,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandBatch:
        """Store a batch for the devices that a group, or else a query, means at this moment.

        `app` narrows them to one app's; where they are of several it must be said. Raises
        NotFoundError for a group that is not there, InvalidValueError if no device is meant.
        """
        caller.require(SEND)
        target = {"query": query or ""} if group is None else {"group": group}
        asked = (name, parameters, expires_in_s, idempotency_key, lane, supersede, retry)
        if idempotency_key is not None:
            # Who belongs to a group may have changed since: a repetition is not for others.
            first = await self._db.read(
                lambda c: repository.find_by_key(c, caller.organization_id, idempotency_key)
            )
            if first is not None:
                known = await self.get(caller, first[0])
                if first[1] != _request(self._terms(app or known.app, *asked), [app, target]):
                    raise _used_otherwise()
                return known
        meant = await self._groups.meant(
            caller, group=group, query=query or "", app=app, most=MAX_DEVICES
        )
        apps = sorted({each for _, each in meant})
        field = "query" if group is None else "group"
        if not apps:
            raise InvalidValueError(f"The {field} means no device now", field=field)
        if len(apps) > 1:
            raise InvalidValueError(
                f"The {field} means devices of {', '.join(apps)}: name the app", field="app"
            )
        terms = self._terms(apps[0], *asked)
        devices = [key for key, _ in meant]
        return await self._store(caller, apps[0], terms, devices, [app, target], target)

    def _terms(
        self,
        app: str,
        name: str,
        parameters: dict[str, Any],
        expires_in_s: float,
        idempotency_key: str | None,
        lane: str | None,
        supersede: bool,
        retry: bool | None,
    ) -> Terms:
        return terms_of(
            name,
            parameters,
            self._commands.dialects.payload(app, name, parameters),
            expires_in_s=expires_in_s,
            idempotency_key=idempotency_key,
            lane=lane,
            supersede=supersede,
            retry=retry,
        )

    async def _store(
        self,
        caller: Caller,
        app: str,
        terms: Terms,
        devices: list[int],
        asked: list[Any],
        target: dict[str, str],
    ) -> CommandBatch:
        """Store a batch for these devices. `asked` is what its idempotency key stands for."""
        if self._unspread >= MAX_UNSPREAD:
            raise TooManyError(f"{MAX_UNSPREAD} batches are under way, which is the most.")
        now = self._clock()
        key, request = terms.idempotency_key, _request(terms, asked)
        said = {
            "expires_at": now + round(terms.expires_in_s * 1e6),
            "lane": terms.lane,
            "supersede": terms.supersedes,
            "may_repeat": terms.may_repeat,
        }
        row = {
            "id": secrets.token_hex(16),
            "organization_id": caller.organization_id,
            "app": app,
            "name": terms.name,
            "parameters": terms.parameters,
            "terms": said | target,
            "devices": devices,
            "refused": [],
            "refused_count": 0,
            "idempotency_key": key,
            "request": request,
            "requested_by": caller.actor[:MAX_ACTOR_CHARS],
            "created_at": now,
        }

        def work(tx: Transaction) -> str:
            if key is not None:
                first = repository.find_by_key(tx.connection, caller.organization_id, key)
                if first is not None:
                    if first[1] != request:
                        raise _used_otherwise()
                    return first[0]
            repository.insert_batch(tx, row)
            tx.after_commit(self._stored)
            return str(row["id"])

        return await self.get(caller, await self._db.write(work))

    def _devices(self, caller: Caller, app: str, device_ids: Sequence[str]) -> list[Device]:
        if not 1 <= len(device_ids) <= MAX_DEVICES:
            raise InvalidValueError(f"A batch has 1 to {MAX_DEVICES} devices", field="devices")
        devices: dict[int, Device] = {}
        for device_id in device_ids:
            device = self._registry.find(app, device_id)
            if device is None or device.organization_id != caller.organization_id:
                raise NotFoundError(
                    f"No device {device_id[:128]!r} is registered with {app[:64]!r}.",
                    field="devices",
                )
            devices[device.id] = device
        return list(devices.values())

    def _stored(self) -> None:
        self._unspread += 1
        self._wake.set()

    async def get(self, caller: Caller, batch_id: str) -> CommandBatch:
        """Return a batch with its commands counted by state."""
        caller.require(READ)
        found = await self._db.read(
            lambda c: repository.find_batch(c, batch_id, caller.organization_id)
        )
        if found is None:
            raise NotFoundError(f"There is no batch {batch_id[:32]!r}.")
        counts = found.states.items()
        is_outcome = self._commands.dialects.is_outcome
        done = sum(count for state, count in counts if is_outcome(found.app, state))
        found.open_count = found.total - found.refused_count - done
        return found

    async def commands(
        self,
        caller: Caller,
        batch_id: str,
        *,
        states: Collection[str] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[CommandRecord]:
        """Return the batch's commands, oldest first."""
        check_limit(limit)
        check_states(states)
        await self.get(caller, batch_id)
        after_at = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: list_of_batch(c, batch_id, after_at, limit + 1, states)
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].created_at) if len(found) > limit else None)

    # --- the worker ---

    async def run(self) -> None:
        """Spread batches, until cancelled. What is left is taken up by the next process."""
        while True:
            await self._wake.wait()
            try:
                await self.spread()
            except StoreUnavailableError as error:
                log.warning("batches of commands wait for the database", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def spread(self) -> None:
        """Give every device of every stored batch its command. Raises StoreUnavailableError."""
        while True:
            self._wake.clear()
            found = await self._db.read(repository.unspread)
            self._unspread = len(found)
            if not found:
                return
            for work in found:
                try:
                    await self._spread(work)
                except StoreUnavailableError:
                    self._wake.set()
                    raise

    async def _spread(self, work: Work) -> None:
        refused: list[tuple[str, str]] = []
        for start in range(0, len(work.devices), AT_ONCE):
            ids = work.devices[start : start + AT_ONCE]
            reasons = await asyncio.gather(*[self._send_one(work, id) for id in ids])
            for id, reason in zip(ids, reasons, strict=True):
                if reason is not None:
                    device = self._registry.by_id(id)
                    refused.append((device.device_id if device else str(id), reason[:200]))
        at = self._clock()
        await self._db.write(
            lambda tx: repository.spread(tx, work.id, refused[:MAX_REFUSED], len(refused), at)
        )
        self._unspread -= 1
        log.info("batch of commands spread", batch=work.id, devices=len(work.devices))

    async def _send_one(self, work: Work, device_key: int) -> str | None:
        """Give a device its command; return why it gets none, or None."""
        device = self._registry.by_id(device_key)
        if device is None:
            return "the device was removed"
        left_us = work.terms["expires_at"] - self._clock()
        if left_us <= 0:
            return "the deadline passed before it was its turn"
        try:
            terms = Terms(
                work.name,
                work.parameters,
                self._commands.dialects.payload(work.app, work.name, work.parameters),
                left_us / 1e6,
                work.terms["lane"],
                work.terms["supersede"],
                work.terms["may_repeat"],
                f"batch:{work.id}",
                work.id,
                self._commands.dialects.id_field(work.app),
            )
            await self._commands.send_on(terms, device, work.requested_by)
        except StoreUnavailableError:
            raise
        except ConflictError as error:
            # A key that is known: the device has this command from before a restart.
            return None if error.field == "Idempotency-Key" else error.message
        except DomainError as error:
            return error.message
        return None


def _request(terms: Terms, asked: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode((terms.request, asked))).hexdigest()


def _used_otherwise() -> ConflictError:
    return ConflictError(
        "This Idempotency-Key was used for another batch.", field="Idempotency-Key"
    )
