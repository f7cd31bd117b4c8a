"""SpaceCall: a function of an app's namespace, given the client, services, and what was said."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from fleetwire.errors import InvalidValueError, SettingsError
from fleetwire.kit.sockets import SocketClient

_PLACE = re.compile(r"`\$\.?(?P<field>[^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(?P<field>[^`]*)`")


class SpaceCall:
    """One function, made ready once."""

    def __init__(
        self,
        app: str,
        function: Callable[..., Any],
        services: Mapping[type, object],
        *,
        takes_said: bool,
    ) -> None:
        """Raise SettingsError naming what the function asks for and nobody has."""
        self.name = f"{app}: {function.__qualname__}"
        self._function = function
        self._services: dict[str, object] = {}
        self._client: str | None = None
        self._said: str | None = None
        self._said_type: Any = None
        if not inspect.iscoroutinefunction(function):
            raise SettingsError(f"{self.name} must be an async function.")
        hints = typing.get_type_hints(function)
        for name in inspect.signature(function).parameters:
            hint = hints.get(name)
            if hint is None:
                raise SettingsError(f"{self.name}: give the parameter {name!r} a type.")
            if hint is SocketClient:
                self._client = name
            elif isinstance(hint, type) and hint in services:
                self._services[name] = services[hint]
            elif takes_said and self._said is None:
                self._said, self._said_type = name, hint
            else:
                raise SettingsError(
                    f"{self.name}: the parameter {name!r} is of the type {hint}, "
                    "which is no service."
                )

    async def __call__(self, client: SocketClient, said: tuple[object, ...] = ()) -> Any:
        """Call it; whatever it raises is raised, and InvalidValueError for what does not fit."""
        arguments = dict(self._services)
        if self._client is not None:
            arguments[self._client] = client
        if self._said is not None:
            arguments[self._said] = self._converted(said)
        return await self._function(**arguments)

    def _converted(self, said: tuple[object, ...]) -> Any:
        if len(said) > 1:
            raise InvalidValueError("Send one value with it.")
        try:
            return msgspec.convert(said[0] if said else None, self._said_type)
        except msgspec.ValidationError as error:
            text = str(error)
            found = _UNKNOWN.search(text) or _PLACE.search(text)
            raise InvalidValueError(text, field=found["field"] if found else None) from None
