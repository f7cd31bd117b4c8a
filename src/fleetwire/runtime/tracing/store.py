"""TracedDatabase: a span for each piece of work that a traced request asks for."""

from collections.abc import Callable
from typing import TypeVar

from opentelemetry.trace import Tracer, get_current_span
from sqlalchemy import Connection

from fleetwire.store.database import Database, Transaction

T = TypeVar("T")


class TracedDatabase(Database):
    """Says whose work it was by the function that does it. What nobody traces costs one look."""

    def __init__(self, url: str, tracer: Tracer) -> None:
        super().__init__(url)
        self._tracer = tracer

    async def write(self, work: Callable[[Transaction], T]) -> T:
        if not get_current_span().is_recording():
            return await super().write(work)
        with self._tracer.start_as_current_span(
            "store.write", attributes={"code.function.name": _name(work)}, record_exception=False
        ) as span:

            def timed(tx: Transaction) -> T:
                span.add_event("begun")  # before that it waited for its turn
                try:
                    return work(tx)
                finally:
                    span.add_event("done")  # what follows is the commit

            return await super().write(timed)

    async def read(self, work: Callable[[Connection], T]) -> T:
        if not get_current_span().is_recording():
            return await super().read(work)
        with self._tracer.start_as_current_span(
            "store.read", attributes={"code.function.name": _name(work)}, record_exception=False
        ):
            return await super().read(work)


def _name(work: Callable[..., object]) -> str:
    named = getattr(work, "__qualname__", type(work).__qualname__)
    return f"{work.__module__}.{named}"
