"""RoadIntake: messages of any protocol on the road, with their outcome as the answer.

Does not: tell MQTT subscribers of them, as MQTT's own messages are; the road alone gets them.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.broker.topic_rights import fill
from fleetwire.errors import (
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.devices.topics import TopicsOf, topics_of_app
from fleetwire.ingest.handler import Asking
from fleetwire.ingest.router import Router
from fleetwire.ingest.source import Source
from fleetwire.kit import instants
from fleetwire.kit.app import App
from fleetwire.kit.caller import Caller
from fleetwire.kit.device import Device
from fleetwire.kit.intake import Intake, Outcome
from fleetwire.protocol.constants import NOT_AUTHORIZED
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import Publish
from fleetwire.protocol.topics import check_topic_name

PUBLISH = "message.publish"
WAIT_S: Final = 15.0
MAX_LEVELS: Final = 32
MAX_PAYLOAD_BYTES: Final = 1024 * 1024


class RoadIntake(Intake):
    """`waiting_most` messages may be on the road before senders are asked to come back later."""

    def __init__(
        self,
        source: Source,
        router: Router,
        apps: Mapping[str, App],
        find_device: Callable[[str, str], Device | None],
        *,
        waiting_most: int,
        wait_s: float = WAIT_S,
        clock: Callable[[], int] = instants.now,
        topics_of: TopicsOf = topics_of_app,
    ) -> None:
        self._source = source
        self._router = router
        self._apps = apps
        self._find_device = find_device
        self._waiting_most = waiting_most
        self._wait_s = wait_s
        self._clock = clock
        self._topics_of = topics_of

    async def receive(self, caller: Caller, topic: str, payload: bytes, *, qos: int = 1) -> Outcome:
        if qos not in (0, 1, 2):
            raise InvalidValueError("qos must be 0, 1 or 2", field="qos")
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise InvalidValueError(
                f"The payload has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed",
                field="payload",
            )
        if self._source.is_closed:
            raise StoreUnavailableError("The house is being closed.")
        sender = self._sender(caller, topic)
        if len(self._source) >= self._waiting_most:
            raise TooManyError("More messages wait to be stored than can be taken. Try again.")
        refused = ""
        if not sender.grant.may_publish(topic):
            refused = f"{caller.actor} may not publish to this topic"
        ticket = _Answer()
        self._source.take(
            Delivery(Publish(topic, payload, qos), sender, self._clock(), ticket, refused)
        )
        try:
            return await asyncio.wait_for(asyncio.shield(ticket.outcome), self._wait_s)
        except TimeoutError:
            raise StoreUnavailableError(
                "The message is not stored yet; it may still be. Send it again."
            ) from None

    def _sender(self, caller: Caller, topic: str) -> Session:
        """Return whom the message comes from. Raises what `receive` does."""
        try:
            check_topic_name(topic, MAX_LEVELS)
        except ProtocolError as error:
            raise InvalidValueError(str(error), field="topic") from None
        paths = self._router.find(topic)
        if not paths:
            raise InvalidValueError("No app has a handler for this topic.", field="topic")
        if caller.device_id:
            device = self._find_device(caller.app, caller.device_id)
            if device is None:
                raise NotFoundError(f"There is no device {caller.device_id!r} any more.")
            rights = fill(
                self._topics_of(self._apps[device.app], device)[0],
                {
                    "device_id": device.device_id,
                    "client_id": device.device_id,
                    "username": device.device_id,
                    "organization": str(device.organization_id),
                    "role": "device",
                },
            )
            grant = Grant(
                caller.actor,
                rights.filters,
                [],
                organization_id=device.organization_id,
                app=device.app,
                device=device.id,
            )
            return Session(f"http/{device.device_id}", grant)
        caller.require(PUBLISH)
        for path in paths:
            named = self._find_device(path.handler.app, path.device_id) if path.device_id else None
            if named is not None and named.organization_id != caller.organization_id:
                raise NotFoundError(
                    f"No device {path.device_id[:64]!r} is registered with you.", field="topic"
                )
        grant = Grant(caller.actor, ["#"], [], organization_id=caller.organization_id)
        return Session("", grant)


class _Answer(Asking):
    """Turns what the road says of one message into its outcome."""

    __slots__ = ("outcome", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def release(self, reason_code: int) -> None:
        is_stored = reason_code == 0
        value = self.value if is_stored else None
        self._say(Outcome(is_stored, reason_code=reason_code, value=value))

    def refuse(self, packet_id: int, reason_code: int, reason: str, field: str | None) -> None:
        self._say(Outcome(False, reason, field, reason_code or NOT_AUTHORIZED))

    def fail(self) -> None:
        self._say(Outcome(False, "It could not be stored."))

    def _say(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
