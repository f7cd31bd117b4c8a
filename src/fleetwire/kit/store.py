"""Store: an app's own tables, and the way for a route or a timer to do what a message can.

async def restock(slot_id: int, quantity: int, store: Store) -> int:
    def work(tx: Transaction) -> Result[int]:
        slot = tx.execute(select(slots).where(slots.c.id == slot_id)).one_or_none()
        if slot is None:
            raise NotFoundError("There is no such slot.")
        tx.execute(update(slots).where(slots.c.id == slot_id).values(...))
        return Result(slot.stock + quantity, [Event("slot.restocked", device, {...})])

    return await store.apply(work)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, overload

from sqlalchemy import Connection

from fleetwire.kit.effects import Effect
from fleetwire.kit.transaction import Transaction

T = TypeVar("T")

Effects = Iterable[Effect] | Effect | None


class Result(Generic[T]):
    """What a piece of work gives back, beside the effects that are to become true with it."""

    __slots__ = ("effects", "value")

    def __init__(self, value: T, effects: Effects = ()) -> None:
        self.value = value
        self.effects = effects


class Store(ABC):
    """The database, shared with the house.

    Work is a plain function. It runs on a thread of the store, never on the event loop, so it may
    take its time in SQL and must touch nothing else than what it is given and what nobody changes.
    It may be called again if others' work in the same commit failed. Raises what the work raises,
    nothing of it being stored then, or StoreUnavailableError (503).
    """

    @abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a snapshot and return its result."""

    @abstractmethod
    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and return its result after the commit."""

    @overload
    async def apply(self, work: Callable[[Transaction], Result[T]]) -> T: ...

    @overload
    async def apply(self, work: Callable[[Transaction], Effects]) -> None: ...

    @abstractmethod
    async def apply(self, work: Callable[[Transaction], Result[T] | Effects]) -> T | None:
        """Run `work` like a handler: what it wrote and the effects it returns are one transaction.

        Effects are Event, Report, Alarm, Answer, SendCommand, Reading; they are stored and told
        just as those of a message. Returns the value of its Result after the commit. Somebody who
        is cancelled while he waits has had his work done all the same.
        """
