"""RuleService: the organisations' chains, and what became of their runs."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.rules import repository
from fleetwire.features.rules.checking import check_chain_id, checked
from fleetwire.features.rules.doings import Doings
from fleetwire.features.rules.engine import Engine
from fleetwire.features.rules.outbox import Outbox
from fleetwire.features.rules.program import OUTCOMES, Program
from fleetwire.features.rules.rehearsal import rehearse
from fleetwire.features.rules.repository import StoredChain
from fleetwire.features.rules.run import Trigger
from fleetwire.features.rules.schedule import next_at
from fleetwire.kit.rules import (
    CommandMaker,
    DryRun,
    RuleChain,
    RuleDraft,
    RuleExecution,
    Rules,
)
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.store.database import Database, Transaction

READ: Final = "telemetry.read"
WRITE: Final = "device.write"
COMMAND: Final = "command.send"
PUBLISH: Final = "message.publish"

MAX_CHAINS: Final = 5000  # of one organisation: those that are enabled are in memory
MAX_BYTES: Final = 16 * 1024 * 1024  # of its chains together, as JSON
MAX_SEARCH_CHARS: Final = 200
MAX_TRIGGER_CHARS: Final = 150
HIDDEN: Final = "…"


class RuleService(Rules):
    """Makes, shows, changes, removes and runs chains; the engine follows after each commit."""

    def __init__(
        self,
        db: Database,
        engine: Engine,
        doings: Doings,
        outbox: Outbox,
        registry: Registry,
        audit: Audit,
        apps: frozenset[str],
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._engine = engine
        self._doings = doings
        self._outbox = outbox
        self._registry = registry
        self._audit = audit
        self._apps = apps
        self._clock = clock

    def commands_by(self, app: str, make: CommandMaker) -> None:
        self._doings.makers[app] = make

    def validate(self, caller: Caller, app: str, draft: RuleDraft) -> None:
        self._checked(caller, app, draft)

    def _checked(self, caller: Caller, app: str, draft: RuleDraft) -> Program:
        caller.require(WRITE)
        program = self._made(caller, app, draft)
        if program.can_command:
            caller.require(COMMAND)
        if program.can_publish:
            caller.require(PUBLISH)
        return program

    def _made(self, caller: Caller, app: str, draft: RuleDraft) -> Program:
        if app not in self._apps:
            raise InvalidValueError(f"there is no app {app[:64]!r} here", field="app")
        return checked(caller.organization_id, app, draft, self._registry)

    async def create(
        self, caller: Caller, app: str, draft: RuleDraft, *, chain_id: str | None = None
    ) -> RuleChain:
        self._checked(caller, app, draft)
        id = secrets.token_hex(8) if chain_id is None else check_chain_id(chain_id)
        organization_id = caller.organization_id

        def work(tx: Transaction) -> StoredChain:
            if repository.count_chains(tx.connection, organization_id) >= MAX_CHAINS:
                raise TooManyError(f"There are {MAX_CHAINS} rule chains, which is the most.")
            _check_room(tx, organization_id)
            since = self._engine.feed.last(tx.connection)
            try:
                stored = repository.insert_chain(
                    tx, organization_id, app, id, draft, since, self._clock()
                )
            except IntegrityError:
                raise ConflictError(f"There is a rule chain {id!r} already.", field="id") from None
            tx.after_commit(lambda: self._engine.put(stored))
            return stored

        stored = await self._db.write(work)
        await self._audit.record(caller, "rule.created", _subject(app, id))
        return self._shown(stored.chain)

    async def update(
        self,
        caller: Caller,
        app: str,
        chain_id: str,
        change: Callable[[RuleDraft], RuleDraft],
        *,
        expects: Callable[[RuleChain], None] = lambda chain: None,
    ) -> RuleChain:
        caller.require(WRITE)

        def work(tx: Transaction) -> StoredChain:
            found = _found(
                repository.find_chain(tx.connection, caller.organization_id, app, chain_id),
                chain_id,
            )
            expects(found.chain)
            old = found.chain.draft
            draft = change(old)
            self._checked(caller, app, draft)
            now = self._clock()
            is_begun = draft.enabled and not old.enabled
            changed = StoredChain(
                found.key,
                found.organization_id,
                RuleChain(app, chain_id, draft, found.chain.created_at, now),
                self._engine.feed.last(tx.connection) if is_begun else found.since,
                # A new schedule has not been missed yet.
                now if is_begun or draft.schedule != old.schedule else found.scheduled_at,
            )
            repository.update_chain(tx, changed)
            _check_room(tx, caller.organization_id)
            tx.after_commit(lambda: self._engine.put(changed))
            return changed

        stored = await self._db.write(work)
        await self._audit.record(caller, "rule.changed", _subject(app, chain_id))
        return self._shown(stored.chain)

    async def delete(self, caller: Caller, app: str, chain_id: str) -> None:
        caller.require(WRITE)

        def work(tx: Transaction) -> None:
            stored = repository.find_chain(tx.connection, caller.organization_id, app, chain_id)
            key = _found(stored, chain_id).key
            repository.delete_chain(tx, key)
            tx.after_commit(lambda: self._engine.drop(key))

        await self._db.write(work)
        await self._outbox.load()
        await self._audit.record(caller, "rule.deleted", _subject(app, chain_id))

    async def get(self, caller: Caller, app: str, chain_id: str) -> RuleChain:
        caller.require(READ)
        return self._shown_to(caller, (await self._find(caller, app, chain_id)).chain)

    async def list(
        self,
        caller: Caller,
        app: str | None = None,
        *,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RuleChain]:
        caller.require(READ)
        check_limit(limit)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        after = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_chains(
                c, caller.organization_id, app=app, search=search, after=after, limit=limit + 1
            )
        )
        items = found[:limit]
        more = len(found) > limit
        return Page(
            [self._shown_to(caller, each.chain) for each in items],
            encode_cursor(items[-1].key) if more else None,
        )

    async def run(
        self, caller: Caller, app: str, chain_id: str, *, trigger: str | None = None
    ) -> RuleExecution:
        caller.require(COMMAND)
        if trigger is not None and not 1 <= len(trigger) <= MAX_TRIGGER_CHARS:
            raise InvalidValueError(
                f"trigger must have 1 to {MAX_TRIGGER_CHARS} characters", field="trigger"
            )
        stored = await self._find(caller, app, chain_id)
        name = f"manual:{secrets.token_hex(8) if trigger is None else trigger}"
        asked = Trigger(name, "manual", self._clock(), actor=caller.actor)
        await self._engine.ask(stored, asked)
        await self._audit.record(
            caller, "rule.run", _subject(app, chain_id), detail={"trigger": name}
        )
        found = await self._db.read(
            lambda c: repository.find_execution(c, stored.key, chain_id, name)
        )
        if found is None:
            raise _not_found(chain_id)  # it was removed meanwhile
        return found

    async def dry_run(
        self,
        caller: Caller,
        app: str,
        draft: RuleDraft,
        *,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 50,
    ) -> DryRun:
        caller.require(READ)
        check_limit(limit)
        program = self._made(caller, app, draft)
        return await rehearse(
            self._db, self._engine.feed, self._registry, program, from_at, to_at, limit
        )

    async def executions(
        self,
        caller: Caller,
        app: str,
        chain_id: str | None = None,
        *,
        outcome: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RuleExecution]:
        caller.require(READ)
        check_limit(limit)
        if outcome is not None and outcome not in OUTCOMES:
            raise InvalidValueError(
                f"outcome must be one of {', '.join(OUTCOMES)}", field="outcome"
            )
        chain = None if chain_id is None else (await self._find(caller, app, chain_id)).key
        before = None if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_executions(
                c,
                caller.organization_id,
                app,
                chain=chain,
                outcome=outcome,
                before=before,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    def woken_by(self, caller: Caller, app: str, device_id: str, key: str) -> Sequence[str]:
        caller.require(READ)
        return self._engine.woken_by(caller.organization_id, app, device_id, key)

    async def _find(self, caller: Caller, app: str, chain_id: str) -> StoredChain:
        stored = await self._db.read(
            lambda c: repository.find_chain(c, caller.organization_id, app, chain_id)
        )
        return _found(stored, chain_id)

    def _shown(self, chain: RuleChain) -> RuleChain:
        chain.next_at = next_at(chain.draft, self._clock())
        return chain

    def _shown_to(self, caller: Caller, chain: RuleChain) -> RuleChain:
        """Return a chain as the caller may see it: webhooks' headers are often credentials."""
        if WRITE not in caller.permissions:
            nodes = tuple(
                msgspec.structs.replace(node, config=_without_headers(node.config))
                for node in chain.draft.nodes
            )
            chain.draft = msgspec.structs.replace(chain.draft, nodes=nodes)
        return self._shown(chain)


def _check_room(tx: Transaction, organization_id: int) -> None:
    if repository.bytes_of_chains(tx.connection, organization_id) > MAX_BYTES:
        raise TooManyError(f"The rule chains say {MAX_BYTES} bytes together, which is the most.")


def _without_headers(config: dict[str, Any]) -> dict[str, Any]:
    webhook = config.get("webhook")
    if not isinstance(webhook, dict) or "headers" not in webhook:
        return config
    return config | {"webhook": webhook | {"headers": dict.fromkeys(webhook["headers"], HIDDEN)}}


def _found(stored: StoredChain | None, chain_id: str) -> StoredChain:
    if stored is None:
        raise _not_found(chain_id)
    return stored


def _not_found(chain_id: str) -> NotFoundError:
    return NotFoundError(f"There is no rule chain {chain_id[:64]!r}.")


def _subject(app: str, chain_id: str) -> str:
    return f"rule:{app}/{chain_id}"
