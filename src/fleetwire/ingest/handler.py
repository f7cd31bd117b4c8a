"""Handler: a function an app declared, made ready to be called for messages.

Its parameters say what it wants: path values by name (`machine_id: str`), the body by type (a
Payload, `dict`, or `Raw`), `device: Device` by the template's `{device_id}`, `message: Incoming`,
and `tx: Transaction` if it must read or write the store itself. All of that is worked out here,
once, at start-up; a call then only fills the places.
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.errors import SettingsError
from fleetwire.kit.app import Raw, Subscription
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Effect
from fleetwire.kit.message import Incoming, NotAcceptedError
from fleetwire.kit.store import Result
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish
from fleetwire.protocol.topics import Template
from fleetwire.store.database import Transaction


class Asking(Ticket):
    """The ticket of a sender who wants the `value` of the Result that a handler returns."""

    __slots__ = ()

    value: Any


class Handler:
    """One handler on one topic template."""

    __slots__ = (
        "_body",
        "_count",
        "_decode",
        "_device",
        "_function",
        "_is_async",
        "_message",
        "_path",
        "_tx",
        "app",
        "name",
        "needs_device",
        "needs_transaction",
        "template",
    )

    def __init__(self, app: str, subscription: Subscription) -> None:
        function = subscription.handler
        self.app = app
        self.template = Template(subscription.template)
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._function: Callable[..., Any] = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._decode: Callable[[bytes], Any] | None = None  # None = as sent
        # Where each argument stands; -1 = the handler does not ask for it.
        self._count = 0
        self._body = self._device = self._message = self._tx = -1
        self._path: list[tuple[int, str]] = []
        self._inspect(subscription)
        self.needs_device = self._device >= 0
        self.needs_transaction = self._tx >= 0
        if self._is_async and not self.needs_transaction:
            raise SettingsError(
                f"{self.name}: an async handler must take `tx`; make it a plain def."
            )

    def _inspect(self, subscription: Subscription) -> None:
        hints = typing.get_type_hints(subscription.handler)
        names = inspect.signature(subscription.handler).parameters
        self._count = len(names)
        for index, name in enumerate(names):
            hint = hints.get(name)
            if hint is Device:
                if "device_id" not in self.template.names:
                    raise SettingsError(
                        f"{self.name}: `{name}: Device` needs {{device_id}} in "
                        f"{subscription.template!r}."
                    )
                self._device = index
            elif hint is Incoming:
                self._message = index
            elif hint is Transaction or name == "tx":
                self._tx = index
            elif name in self.template.names:
                self._path.append((index, name))
            elif hint is None:
                raise SettingsError(f"{self.name}: give the parameter {name!r} a type.")
            elif self._body >= 0:
                raise SettingsError(
                    f"{self.name}: two bodies; {name!r} is no part of "
                    f"{subscription.template!r} and a message has only one."
                )
            else:
                self._body = index
                if hint is not Raw:
                    self._decode = msgspec.json.Decoder(hint).decode

    def bind(self, values: dict[str, str], device: Device | None) -> list[Any]:
        """Return the arguments that all messages of one topic have in common."""
        arguments: list[Any] = [None] * self._count
        if self._device >= 0:
            arguments[self._device] = device
        for index, name in self._path:
            arguments[index] = values[name]
        return arguments

    def call(
        self, delivery: Delivery, arguments: list[Any], tx: Transaction | None
    ) -> list[Effect]:
        """Return the handler's effects; `arguments` are as `bind` returned them.

        Raises NotAcceptedError, with the reason in words.
        """
        publish = delivery.publish
        if self._message >= 0:
            arguments[self._message] = Incoming(
                publish.topic_name,
                publish.payload,
                publish.qos,
                publish.retain,
                delivery.client_id,
                delivery.received_at,
                _correlation_data(publish),
            )
        if self._tx >= 0:
            arguments[self._tx] = tx
        try:
            if self._decode is not None:
                arguments[self._body] = self._decode(publish.payload)
            elif self._body >= 0:
                # One who asked for Raw decodes it himself, so that is about his call, too.
                arguments[self._body] = publish.payload
                result = self._function(*arguments)
        except msgspec.ValidationError as error:
            raise NotAcceptedError(f"The payload does not fit: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NotAcceptedError(f"The payload is not JSON: {error}") from None
        except RecursionError:
            raise NotAcceptedError("The payload is nested too deeply") from None
        if self._decode is not None or self._body < 0:
            result = self._function(*arguments)
        if type(result) is list:
            return result
        if self._is_async:
            result = _run_to_end(result, self.name)
        if type(result) is Result:
            if isinstance(delivery.ticket, Asking):
                delivery.ticket.value = result.value
            result = result.effects
        if result is None:
            return []
        return [result] if isinstance(result, Effect) else list(result)


def _correlation_data(publish: Publish) -> bytes:
    found = publish.properties.get(c.CORRELATION_DATA) if publish.properties else None
    return found if isinstance(found, bytes) else b""


def _run_to_end(coroutine: Any, name: str) -> Any:
    """Run a coroutine that awaits nothing but its transaction, which never makes it wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError(f"{name} awaits something else than its transaction")
