"""Triggers: committed readings, as they set chains going.

The readings of one message are one trigger: they have the same device and the same instant of
receipt. A variable that occurs a second time begins another one.
"""

from collections.abc import Iterator, Sequence

from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.run import Trigger
from fleetwire.features.rules.seen import Seen
from fleetwire.features.rules.variables import Variables
from fleetwire.features.telemetry.feed import FedReading


def whole(page: Sequence[FedReading], limit: int) -> Sequence[FedReading]:
    """Return a page without the message at its end that may go on in the next one."""
    if len(page) < limit:
        return page
    last = page[-1]
    end = len(page)
    while end and (page[end - 1].device, page[end - 1].received_at) == (
        last.device,
        last.received_at,
    ):
        end -= 1
    return page[:end] or page


def triggers(
    page: Sequence[FedReading], variables: Variables, registry: Registry
) -> Iterator[Trigger]:
    """Yield what in a page wakes somebody, in the order of commits."""
    watched = variables.watched
    found: Trigger | None = None
    device = 0
    for reading in page:
        of_device = watched.get(reading.device)
        variable = None if of_device is None else of_device.get(reading.metric)
        if variable is None:
            continue
        if (
            found is None
            or device != reading.device
            or found.at != reading.received_at
            or variable in found.values
        ):
            if found is not None:
                yield found
            device = reading.device
            found = Trigger(
                f"reading:{reading.id}",
                "telemetry",
                reading.received_at,
                {},
                registry.by_id(device),
            )
        found.values[variable] = Seen(reading.value, reading.at, reading.received_at)
        found.cursor = reading.id
    if found is not None:
        yield found
