"""Works: what apps do by themselves, stored by the same sinks as what messages lead to.

One group is under way at a time. While its transaction waits for the disk the next one gathers, so
a lone piece of work waits for its own commit only, and many share one. A piece that raises is
rolled back alone. If a sink refuses the group's effects, each piece is carried alone, so that the
refusal reaches the one who caused it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.errors import StoreUnavailableError, TooManyError
from fleetwire.ingest.batch import Accepted
from fleetwire.kit import instants
from fleetwire.kit.effects import Effect
from fleetwire.kit.store import Effects, Result
from fleetwire.protocol.packets import Publish
from fleetwire.store.database import Transaction

GROUP_LIMIT = 64  # pieces of work in one transaction; messages wait meanwhile
WAITING_MOST = 5000

Work = Callable[[Transaction], Any]
Carry = Callable[[Callable[[Transaction], list[Accepted]]], Awaitable[None]]


class Works:
    """Pieces of work on their way into the store. `carry` is `Road.apply`."""

    def __init__(self, carry: Carry, clock: Callable[[], int] = instants.now) -> None:
        self._carry = carry
        self._clock = clock
        self._house = Session("", Grant("system", [], []))
        self._waiting: list[_Piece] = []
        self._task: asyncio.Task[None] | None = None

    async def apply(self, work: Work) -> Any:
        """Store what `work` writes and the effects it returns; return its value.

        Raises what the work or a sink raises, StoreUnavailableError, TooManyError if WAITING_MOST
        pieces wait already.
        """
        if len(self._waiting) >= WAITING_MOST:
            raise TooManyError(f"{WAITING_MOST} pieces of work wait for the store already.")
        piece = _Piece(work)
        self._waiting.append(piece)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        # Who goes away has had his work done all the same: the road must be told how it ended.
        return await asyncio.shield(piece.future)

    async def close(self) -> None:
        """Finish what was handed in."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP_LIMIT], self._waiting[GROUP_LIMIT:]
                await self._try(group)
        finally:
            self._task = None

    async def _try(self, group: "list[_Piece]") -> None:
        try:
            await self._carry(lambda tx: self._store(tx, group))
        except StoreUnavailableError as error:
            for piece in group:
                # One for each: raised by many, a single one would gather all their frames.
                piece.settle(StoreUnavailableError(str(error)))
        except Exception as error:
            if len(group) == 1:
                group[0].settle(error)
                return
            for piece in group:
                await self._try([piece])
        else:
            for piece in group:
                piece.settle(None)

    def _store(self, tx: Transaction, group: "list[_Piece]") -> list[Accepted]:
        """Run the pieces on the writer's thread, each in a savepoint of its own."""
        accepted: list[Accepted] = []
        at = self._clock()
        for piece in group:
            part = Transaction(tx.connection)
            savepoint = tx.connection.begin_nested()
            try:
                effects = piece.run(part)
            except Exception as error:
                if isinstance(error, DBAPIError) and not isinstance(
                    error, (IntegrityError, DataError)
                ):
                    raise  # the database's fault: nobody's work is stored
                savepoint.rollback()
                piece.error = error
                continue
            savepoint.commit()
            tx.adopt(part)
            for app, own in effects.items():
                delivery = Delivery(Publish("", b"{}"), self._house, at, None)
                accepted.append(Accepted(app, delivery, own))
        return accepted


class _Piece:
    __slots__ = ("error", "future", "value", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.value: Any = None
        self.error: Exception | None = None
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def run(self, tx: Transaction) -> dict[str, list[Effect]]:
        """Do the work; return its effects by the app whose device they are of."""
        self.error = None
        said = self.work(tx)
        effects: Effects = said
        self.value = None
        if isinstance(said, Result):
            self.value, effects = said.value, said.effects
        if effects is None:
            return {}
        found: dict[str, list[Effect]] = {}
        for effect in [effects] if isinstance(effects, Effect) else list(effects):
            device = effect.device  # type: ignore[attr-defined]  # every effect has one
            found.setdefault(device.app, []).append(effect)
        return found

    def settle(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self.future.done():
            return
        error = error or self.error
        if error is None:
            self.future.set_result(self.value)
        elif isinstance(error, StopIteration):  # no future takes it
            self.future.set_exception(RuntimeError("A piece of work raised StopIteration"))
        else:
            self.future.set_exception(error)
