"""Sharing: several apps on one port, where their routes do not collide.

Each app keeps its own application: its errors, its OpenAPI document, its rights. A request goes to
the one whose route it is. What every listener has is the first one's, the first app with devices:
signing in, live events, `/docs`. The others' documents are at `/<app>/docs` and `/<app>/redoc`.
"""

from collections.abc import Iterator, Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from fleetwire.errors import SettingsError
from fleetwire.kit import App

_DOCUMENTS = frozenset({"/docs", "/redoc", "/openapi.json"})
_SCRIPTS = "/static-offline-docs/"  # what those pages load
WEBSOCKET = "WEBSOCKET"
_EVERYTHING = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", WEBSOCKET})


class Place:
    """A route's path with the methods it answers; that of a WebSocket is `WEBSOCKET`."""

    def __init__(self, path: str, methods: frozenset[str]) -> None:
        self.path = path
        self.methods = methods
        self.levels = path.strip("/").split("/")
        self._pattern = compile_path(path)[0]

    def matches(self, path: str) -> bool:
        """Say whether this is the path of a request."""
        return self._pattern.match(path) is not None

    def meets(self, other: "Place") -> bool:
        """Say whether there is a request that both answer."""
        return bool(self.methods & other.methods) and _meet(self.levels, other.levels)


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    if not one or not other:
        return not one and not other
    if ":path}" in one[0] or ":path}" in other[0]:
        return True
    is_open = "{" in one[0] or "{" in other[0]
    return (is_open or one[0] == other[0]) and _meet(one[1:], other[1:])


def places_of(app: App) -> Iterator[Place]:
    """Yield the routes that an app declares, under each of its prefixes."""
    assert app.listener is not None, "the app has no routes"
    for prefix in app.listener.prefixes:
        for router in (*app.routers, *app.debug_routers):
            for context in iter_route_contexts(router.routes):
                if context.path is None:
                    continue
                path = prefix + context.path
                if isinstance(context.original_route, Mount):
                    yield Place(f"{path}/{{rest:path}}", _EVERYTHING)
                else:
                    methods = getattr(context.original_route, "methods", None)
                    yield Place(path, frozenset(methods or {WEBSOCKET}))


def in_order(apps: Sequence[App]) -> list[App]:
    """Return apps that share a port, beginning with those that have devices."""
    return sorted(apps, key=lambda app: not (app.publishes or app.subscribes))


def check(apps: Sequence[App]) -> None:
    """Raise SettingsError naming two apps that are to share a port and cannot."""
    routes: list[tuple[str, Place]] = []
    spaces: dict[str, str] = {}
    for app in apps:
        own = list(places_of(app))
        for place in own:
            for other, taken in routes:
                if place.meets(taken):
                    what = f"the route {taken.path!r} of the one and {place.path!r} of the other"
                    raise SettingsError(_collision(other, app.name, what))
        routes += [(app.name, place) for place in own]
        for space in app.socket_spaces:
            other = spaces.setdefault(space.namespace, app.name)
            if other != app.name:
                what = f"the Socket.IO namespace {space.namespace!r} of both"
                raise SettingsError(_collision(other, app.name, what))


def _collision(one: str, other: str, what: str) -> str:
    return (
        f"The apps {one!r} and {other!r} are given one port and collide: {what}. Give one of them "
        f"another port (FLEETWIRE_APP_PORTS={other}=<port>), or leave it out."
    )


class SharedPort:
    """The ASGI application of a port that several apps have, in order."""

    def __init__(self, apps: Sequence[App], served: Sequence[ASGIApp]) -> None:
        """`served` are what answers for each of them."""
        self._first, *self._others = [
            (app.name, answers, list(places_of(app)))
            for app, answers in zip(apps, served, strict=True)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the app whose it is."""
        path: str = scope.get("path", "")
        for name, application, _ in self._others:
            document = path.removeprefix(f"/{name}")
            if document != path and (document in _DOCUMENTS or document.startswith(_SCRIPTS)):
                await application({**scope, "root_path": f"/{name}"}, receive, send)
                return
        application = self._owner(path, _kind(scope))
        await application(scope, receive, send)

    def _owner(self, path: str, kind: str) -> ASGIApp:
        """Return whose route it is, or else who has the path with another method, or the first."""
        with_path: ASGIApp | None = None
        for _, application, places in (self._first, *self._others):
            for place in places:
                if place.matches(path):
                    if kind in place.methods:
                        return application
                    with_path = with_path or application
        if with_path is not None:
            return with_path
        root = path.strip("/").partition("/")[0]
        for _, application, places in self._others:
            if any(place.levels[0] == root for place in places):
                known = any(place.levels[0] == root for place in self._first[2])
                return self._first[1] if known else application
        return self._first[1]


def _kind(scope: Scope) -> str:
    return WEBSOCKET if scope["type"] == "websocket" else str(scope.get("method", ""))
