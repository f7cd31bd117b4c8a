"""Traffic: how many requests each listener answered, with what status, in what time."""

import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED = "closed"  # the client went away before there was an answer


class Traffic:
    """Counts since start. `requests` are by listener and status, `seconds` by listener.

    An answer counts when its head is sent: a stream of events has no end to wait for.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str], float] = {}

    def counted(self, listener: str, app: ASGIApp) -> ASGIApp:
        """Return the application of a listener, with its requests counted."""
        return _Counted(app, self, listener)


class _Counted:
    def __init__(self, app: ASGIApp, traffic: Traffic, listener: str) -> None:
        self._app = app
        self._traffic = traffic
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        is_answered = False

        async def count(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                self._note(str(message["status"]), began)
            await send(message)

        try:
            await self._app(scope, receive, count)
        finally:
            if not is_answered:
                self._note(CLOSED, began)

    def _note(self, status: str, began: float) -> None:
        took_s = time.perf_counter() - began
        self._traffic.requests[self._listener, status] += 1
        self._traffic.seconds[self._listener,] = (
            self._traffic.seconds.get((self._listener,), 0.0) + took_s
        )
