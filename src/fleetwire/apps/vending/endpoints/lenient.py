"""LenientRoute: a body is JSON, also where `curl -d` calls it a form.

None of the app's routes takes a form. What a browser sends for another page's sake names its
`Origin`, and is taken at its word: such a page cannot send JSON without having asked.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_JSON = (b"content-type", b"application/json")


class LenientRoute(APIRoute):
    """A route of this app."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def take(request: Request) -> Response:
            headers: list[tuple[bytes, bytes]] = request.scope["headers"]
            if not any(name == b"origin" for name, _ in headers):
                scope = dict(request.scope)
                scope["headers"] = [
                    _JSON if (name, value) == _FORM else (name, value) for name, value in headers
                ]
                request = Request(scope, request.receive)
            return await handle(request)

        return take
