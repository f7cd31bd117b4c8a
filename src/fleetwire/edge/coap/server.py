"""CoapServer: an app's devices over CoAP, each request made to a message of the road.

Replies are 2.04 `{"ok": true, "result": …}`, 4.00 and 4.01 `{"ok": false, "error", "field"}`, 4.04
for a path that is none, 5.00 for what may be tried again. The token stands in the body or in the
query, `?token=`. Where the house is in development a request from this machine needs none.

An observer is shown the newest, not every one that was between (RFC 7641 §1.3), and is asked for
his token again before each notification.

Does not: speak DTLS, or count a notification as a command's delivery: that a device has taken a
notification in, the library does not tell.
"""

import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

import structlog
from aiocoap import (  # type: ignore[import-untyped]  # it has no types
    BAD_REQUEST,
    CHANGED,
    CONTENT,
    INTERNAL_SERVER_ERROR,
    NOT_FOUND,
    UNAUTHORIZED,
    Context,
    Message,
)
from aiocoap.resource import ObservableResource  # type: ignore[import-untyped]  # likewise

from fleetwire.edge.coap.paths import Asked, Paths, body_of
from fleetwire.edge.coap.spool import BoundedSpool
from fleetwire.errors import (
    DomainError,
    ForbiddenError,
    NotFoundError,
    SettingsError,
    StoreUnavailableError,
    TooManyError,
    UnauthenticatedError,
)
from fleetwire.kit.app import App
from fleetwire.kit.coap import Coap
from fleetwire.kit.intake import Intake, Outcome
from fleetwire.kit.machines import Machines
from fleetwire.kit.mode import Mode
from fleetwire.kit.services import Caller, Commands, Devices, LiveEvent
from fleetwire.kit.store import Store

log = structlog.get_logger("fleetwire.coap")

NOT_AUTHORIZED: Final = 0x87
JSON_FORMAT: Final = 50  # RFC 7252 §12.3
MOST_OBSERVERS: Final = 10_000
MOST_AT_ONCE: Final = 1_000
QUERY_TOKEN: Final = "token="


class CoapServices:
    """What requests are carried out with."""

    def __init__(
        self,
        intake: Intake,
        machines: Machines,
        devices: Devices,
        commands: Commands,
        store: Store,
        mode: Callable[[], Mode],
    ) -> None:
        self.intake = intake
        self.machines = machines
        self.devices = devices
        self.commands = commands
        self.store = store
        self.mode = mode


class CoapServer(ObservableResource):  # type: ignore[misc]  # likewise
    """One app's CoAP, as the one resource that every path is."""

    def __init__(self, app: App, coap: Coap, services: CoapServices) -> None:
        super().__init__()
        self._block1 = BoundedSpool()
        self._app = app.name
        self._token_fields = app.token_fields
        self._paths = Paths(coap)
        self._services = services
        self._context: Context | None = None
        self._observers: dict[str, set[Any]] = {}  # by device_id
        self._observing = 0
        self._at_once = 0

    async def open(self, host: str, port: int) -> int:
        """Serve; return the port. Raises SettingsError if it cannot be had."""
        try:
            self._context = await Context.create_server_context(
                self, bind=(host, port), transports=["udp6"]
            )
        except OSError as error:
            raise SettingsError(
                f"Cannot listen on {host}:{port} for CoAP: {error.strerror or error}. Stop the "
                f"program that uses this port, or give {self._app!r} another one."
            ) from error
        transport = self._context.request_interfaces[0].token_interface.message_interface.transport
        return int(transport.get_extra_info("socket").getsockname()[1])

    async def close(self) -> None:
        """End it, and all observations."""
        if self._context is not None:
            await self._context.shutdown()

    def told(self, events: list[LiveEvent]) -> None:
        """Show observers of a device what it is now, after each of the app's events of it."""
        if not self._observers:
            return
        for device_id in {each.device.device_id for each in events if each.app == self._app}:
            for observer in self._observers.get(device_id, ()):
                observer.trigger()

    # --- called by the library ---

    async def render(self, request: Any) -> Any:
        """Return the answer to a whole request."""
        if self._at_once >= MOST_AT_ONCE:
            return _refusal(INTERNAL_SERVER_ERROR, "Too much at once. Try again.")
        self._at_once += 1
        try:
            return await self._answer(request)
        except UnauthenticatedError as error:
            return _refusal(UNAUTHORIZED, error.message, error.field)
        except ForbiddenError as error:
            return _refusal(UNAUTHORIZED, error.message, error.field)
        except NotFoundError as error:
            return _refusal(NOT_FOUND, error.message, error.field)
        except (StoreUnavailableError, TooManyError) as error:
            return _refusal(INTERNAL_SERVER_ERROR, str(error))
        except DomainError as error:
            return _refusal(BAD_REQUEST, error.message, error.field)
        except Exception as error:
            log.error("a request failed", app=self._app, error=repr(error), exc_info=error)
            return _refusal(INTERNAL_SERVER_ERROR, "It failed for a reason that nobody foresaw.")
        finally:
            self._at_once -= 1

    async def add_observation(self, request: Any, serverobservation: Any) -> None:
        """Let somebody observe, if that is something to be observed. RFC 7641 §4.1."""
        asked = self._paths.asked("/".join(request.opt.uri_path))
        if asked is None or self._observing >= MOST_OBSERVERS:
            serverobservation._cancellation_callback = _nothing
            return
        observers = self._observers.setdefault(asked.device_id, set())
        observers.add(serverobservation)
        self._observing += 1

        def end() -> None:
            self._observing -= 1
            observers.discard(serverobservation)
            if not observers and self._observers.get(asked.device_id) is observers:
                del self._observers[asked.device_id]

        serverobservation.accept(end)

    # --- requests ---

    async def _answer(self, request: Any) -> Any:
        path = "/".join(request.opt.uri_path)
        method = str(request.code)
        if method in ("POST", "PUT"):
            return await self._receive(path, request)
        asked = self._paths.asked(path) if method == "GET" else None
        if asked is None:
            raise NotFoundError("There is nothing here.")
        return await self._show(asked, request)

    async def _receive(self, path: str, request: Any) -> Any:
        payload: bytes = request.payload
        body = body_of(payload)
        said = _taken(body, self._token_fields)
        topic = self._paths.topic_of(path, body)
        if topic is None:
            raise NotFoundError("There is nothing here.")
        caller = self._caller(request, said)
        if isinstance(body, dict):
            payload = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(
                errors="replace"
            )
        outcome = await self._services.intake.receive(caller, topic, payload)
        if not outcome.is_stored:
            return _refused(outcome)
        return _said(CHANGED, {"ok": True, "result": outcome.value})

    async def _show(self, asked: Asked, request: Any) -> Any:
        caller = self._caller(request, None)
        device = self._services.devices.find(self._app, asked.device_id)
        if device is None or device.organization_id != caller.organization_id:
            raise NotFoundError("There is no such device.")
        if caller.device_id and caller.device_id != asked.device_id:
            raise ForbiddenError("A device may ask for itself only.")
        if asked.show is not None:
            show = asked.show
            return _said(CONTENT, await self._services.store.read(lambda c: show(c, device)))
        house = Caller.system(device.organization_id)
        record = await self._services.devices.get(house, self._app, device.device_id)
        found = (await self._services.commands.list(house, record, limit=1)).items
        newest = [
            {"id": each.id, "command": each.name, "parameters": each.parameters} for each in found
        ]
        return _said(CONTENT, newest[0] if newest else None)

    def _caller(self, request: Any, said: str | None) -> Caller:
        """Return who asks, by the token in the body or in the query."""
        remote = request.remote.hostinfo.rpartition(":")[0].strip("[]")
        token = said
        for part in request.opt.uri_query:
            if token is None and part.startswith(QUERY_TOKEN):
                token = part[len(QUERY_TOKEN) :]
        mode = self._services.mode()
        if token is None and mode.is_development and _is_this_machine(remote):
            return Caller.system(mode.organization_id)
        if not token:
            raise UnauthenticatedError("Send the device's token, in the body or as ?token=")
        return self._services.machines.holder(self._app, token, remote)


def _taken(body: object, fields: tuple[str, ...]) -> str | None:
    """Take tokens out of a body; return the first, "" if it is no text."""
    if not isinstance(body, dict):
        return None
    found = [body.pop(name) for name in fields if name in body]
    if not found or found[0] is None:
        return None
    return found[0] if isinstance(found[0], str) else ""


def _is_this_machine(remote: str) -> bool:
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _refused(outcome: Outcome) -> Any:
    if outcome.reason_code == NOT_AUTHORIZED:
        return _refusal(UNAUTHORIZED, outcome.reason, outcome.field)
    code = BAD_REQUEST if outcome.reason_code else INTERNAL_SERVER_ERROR
    return _refusal(code, outcome.reason, outcome.field)


def _refusal(code: Any, error: str, field: str | None = None) -> Any:
    said: dict[str, Any] = {"ok": False, "error": error}
    if field is not None:
        said["field"] = field
    return _said(code, said)


def _said(code: Any, content: object) -> Any:
    return Message(code=code, payload=json.dumps(content).encode(), content_format=JSON_FORMAT)


def _nothing() -> None:
    """End an observation that never was."""
