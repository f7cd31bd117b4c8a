"""Preparation: what handlers make of a batch, on the event loop, before its transaction."""

from collections.abc import Callable
from typing import Any

import structlog

from fleetwire.broker.delivery import Delivery
from fleetwire.errors import DomainError
from fleetwire.ingest.batch import Accepted, Refused
from fleetwire.ingest.proofs import Proofs
from fleetwire.ingest.router import Path, Router
from fleetwire.ingest.unknown import Unknown
from fleetwire.kit.device import Device
from fleetwire.kit.message import NotAcceptedError

log = structlog.get_logger("fleetwire.ingest")

NOT_AUTHORIZED = 0x87
UNSPECIFIED = 0x80


class Batch:
    """Messages that share one transaction, in the order they came."""

    __slots__ = ("accepted", "deferred", "refused", "unknown")

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.refused: list[Refused] = []
        # Devices that may enrol themselves, by app and device_id, with a message of each.
        self.unknown: dict[tuple[str, str], Delivery] = {}
        # Handlers that run inside the transaction; their Accepted has a place in the order already.
        self.deferred: list[tuple[Accepted, Path, Device | None]] = []

    def deliveries(self) -> list[Delivery]:
        """Return all messages of the batch."""
        accepted = [entry.delivery for entry in self.accepted]
        return accepted + [entry.delivery for entry in self.refused]


class Preparation:
    """Finds each message's handler and lets it say what should become true."""

    def __init__(self, router: Router, find_device: Callable[[str, str], Device | None]) -> None:
        self.unknown: Unknown | None = None  # what becomes of devices that nobody registered
        self.proofs: Proofs | None = None  # None = no app lets tokens stand in payloads
        self._router = router
        self._find_device = find_device

    def prepare(self, deliveries: list[Delivery]) -> Batch:
        """Find each message's handler and let it say what should become true."""
        batch = Batch()
        accepted = batch.accepted
        topic_name: str | None = None
        path: Path | None = None
        device: Device | None = None
        arguments: list[Any] = []
        proofs = self.proofs
        proved: str | None = None
        may_prove = False
        for delivery in deliveries:
            try:
                if proofs is not None:
                    if delivery.publish.topic_name is not proved:
                        proved = delivery.publish.topic_name
                        may_prove = proofs.concern(proved)
                    if may_prove:
                        proofs.take(delivery)
                if delivery.refused:
                    raise NotAcceptedError(delivery.refused, reason_code=NOT_AUTHORIZED)
                if delivery.publish.topic_name is not topic_name or path is None:
                    # A read brings many messages of one topic: they are for one device.
                    topic_name = delivery.publish.topic_name
                    path = None
                    path, device = self._choose(delivery, batch)
                    handler = path.handler
                    app = handler.app
                    call = None if handler.needs_transaction else handler.call
                    arguments = handler.bind(path.values, device)
                if device is None and handler.needs_device:
                    raise NotAcceptedError(
                        f"Device {path.device_id!r} is not registered with {app!r}"
                        f"{self._note_unknown([path], delivery, batch)}",
                        reason_code=NOT_AUTHORIZED,
                    )
                if call is None:
                    entry = Accepted(app, delivery, [])
                    batch.deferred.append((entry, path, device))
                    accepted.append(entry)
                else:
                    accepted.append(Accepted(app, delivery, call(delivery, arguments, None)))
            except DomainError as error:
                whose = None if delivery.refused or path is None else path.handler.app
                batch.refused.append(refused_by(whose, delivery, device if whose else None, error))
            except Exception as error:
                whose = None if path is None else path.handler.app
                batch.refused.append(_broken(whose, delivery, device if whose else None, error))
        return batch

    def _choose(self, delivery: Delivery, batch: Batch) -> tuple[Path, Device | None]:
        """Return who handles a topic; if several apps do, the one that knows the device."""
        paths = self._router.find(delivery.publish.topic_name)
        if len(paths) == 1:
            path = paths[0]
            if not path.device_id:
                return path, None
            return path, self._find_device(path.handler.app, path.device_id)
        if not paths:
            raise NotAcceptedError("No app has a handler for this topic")
        for path in paths:
            if path.device_id:
                device = self._find_device(path.handler.app, path.device_id)
                if device is not None:
                    return path, device
        names = ", ".join(sorted({path.handler.app for path in paths}))
        raise NotAcceptedError(
            f"The device is registered with none of {names}"
            f"{self._note_unknown(paths, delivery, batch)}",
            reason_code=NOT_AUTHORIZED,
        )

    def _note_unknown(self, paths: list[Path], delivery: Delivery, batch: Batch) -> str:
        """Note that a device may enrol itself, with the first app that lets it.

        Return what is to be said of one that may not, as the end of a sentence.
        """
        if self.unknown is None:
            return ""
        objections = []
        for path in paths:
            key = path.handler.app, path.device_id
            if not path.device_id or not path.handler.needs_device:
                continue
            objection = None if key in batch.unknown else self.unknown.objection(*key, delivery)
            if objection is None:
                batch.unknown.setdefault(key, delivery)
                return ""
            objections.append(objection)
        return f": {objections[0]}" if any(objections) else ""


def refused_by(
    app: str | None, delivery: Delivery, device: Device | None, error: DomainError
) -> Refused:
    code = error.code if isinstance(error, NotAcceptedError) else error.reason_code
    organization_id = _organization_of(delivery, device)
    return Refused(app, delivery, error.message, code, organization_id, error.field)


def _broken(
    app: str | None, delivery: Delivery, device: Device | None, error: Exception
) -> Refused:
    """A handler failed in a way it did not mean: keep the message, and say where to look."""
    log.error(
        "a handler failed",
        app=app,
        topic=delivery.publish.topic_name,
        error=repr(error),
        exc_info=error,
    )
    return Refused(
        app,
        delivery,
        f"The handler failed: {type(error).__name__}",
        UNSPECIFIED,
        _organization_of(delivery, device),
    )


def _organization_of(delivery: Delivery, device: Device | None) -> int | None:
    """Return whose message this is: the device's it names, else the sender's; None = nobody's."""
    if device is not None:
        return device.organization_id
    return delivery.organization_id or None
