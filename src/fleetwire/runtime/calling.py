"""Calling: an app's own functions, given services by the types of their parameters."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Caller, LiveEvent


class Call:
    """One function of an app, made ready once. `takes` are types that are given at each call."""

    def __init__(
        self,
        app: App,
        function: Callable[..., Any],
        services: Mapping[type, object],
        takes: tuple[type, ...] = (),
        *,
        must_be_async: bool = True,
    ) -> None:
        """Raise SettingsError naming what the function asks for and nobody has."""
        self.name = f"{app.name}: {function.__qualname__}"
        self._function = function
        self._services: dict[str, object] = {}
        self._taken: dict[str, type] = {}
        if must_be_async and not inspect.iscoroutinefunction(function):
            raise SettingsError(f"{self.name} must be an async function.")
        hints = typing.get_type_hints(function)
        for name in inspect.signature(function).parameters:
            hint = hints.get(name)
            if isinstance(hint, type) and hint in takes:
                self._taken[name] = hint
            elif hint is App:
                self._services[name] = app
            elif isinstance(hint, type) and hint in services:
                self._services[name] = services[hint]
            else:
                what = "has no type" if hint is None else f"is of the type {hint}"
                raise SettingsError(
                    f"{self.name}: the parameter {name!r} {what}, which is no service."
                )

    async def __call__(self, *given: object) -> None:
        """Call it with what it takes; whatever it raises is raised."""
        by_type: dict[type, object] = {}
        for kind in set(self._taken.values()):
            by_type[kind] = next(each for each in given if isinstance(each, kind))
        arguments = {name: by_type[kind] for name, kind in self._taken.items()}
        done = self._function(**self._services, **arguments)
        if isinstance(done, Awaitable):
            await done


CALLER = (Caller,)
EVENT = (LiveEvent,)
