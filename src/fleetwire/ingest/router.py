"""Router: from a Topic Name to the handlers that may accept its messages."""

from fleetwire.errors import SettingsError
from fleetwire.ingest.handler import Handler
from fleetwire.kit.app import App

REMEMBERED_TOPICS = 100_000


class Path:
    """One handler and what the Topic Name says of its template's places."""

    __slots__ = ("device_id", "handler", "values")

    def __init__(self, handler: Handler, values: dict[str, str]) -> None:
        self.handler = handler
        self.values = values
        self.device_id = values.get("device_id", "")


class Router:
    """All handlers of all apps. Several apps may answer one topic; the device decides then."""

    def __init__(self, apps: list[App]) -> None:
        self._handlers = [
            Handler(app.name, subscription) for app in apps for subscription in app.subscriptions
        ]
        seen: set[tuple[str, str]] = set()
        for handler in self._handlers:
            key = (handler.app, handler.template.filter)
            if key in seen:
                raise SettingsError(
                    f"App {handler.app!r} has two handlers for {handler.template.filter!r}; "
                    f"the second is {handler.name}."
                )
            seen.add(key)
        self._paths: dict[str, list[Path]] = {}

    @property
    def filters(self) -> list[str]:
        """The Topic Filters under which messages belong to the road."""
        return sorted({handler.template.filter for handler in self._handlers})

    def find(self, topic_name: str) -> list[Path]:
        """Return the handlers whose template matches, in the order the apps were given."""
        paths = self._paths.get(topic_name)
        if paths is None:
            paths = []
            for handler in self._handlers:
                values = handler.template.match(topic_name)
                if values is not None:
                    paths.append(Path(handler, values))
            if len(self._paths) >= REMEMBERED_TOPICS:
                self._paths.clear()
            self._paths[topic_name] = paths
        return paths
