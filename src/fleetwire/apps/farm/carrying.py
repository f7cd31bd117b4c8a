"""Carrying: messages that come by another protocol than MQTT, made the same and given to the road.

What the road has stored is told on the sensor's own topic, too, so that MQTT clients see it; the
house does not take in what it says itself.
"""

from typing import Any, Final

from fleetwire.apps.farm.errors import RefusedError, UnavailableError
from fleetwire.apps.farm.rows import encoded
from fleetwire.kit import (
    Caller,
    DomainError,
    ForbiddenError,
    Intake,
    Messages,
    Outcome,
    UnauthenticatedError,
)

STREAM: Final = "datastream"
STATUS: Final = "status"
NOT_AUTHORIZED: Final = 0x87  # MQTT 5.0 §3.4.2.1


async def carry(
    intake: Intake, messages: Messages, caller: Caller, uuid: str, what: str, body: object
) -> Any:
    """Give a message to the road; return what its handler answers.

    Raises what a refusal is in HTTP's words: RefusedError naming the field, ForbiddenError; and
    what `Intake.receive` raises.
    """
    topic = f"devices/{uuid}/{what}"
    # Written as MQTT would bring it, so that the message kept beside the rows is the same.
    outcome = await intake.receive(caller, topic, encoded(body))
    if not outcome.is_stored:
        raise refusal_of(outcome)
    if what == STREAM:
        echo = {"type": "data_stream", "deviceUuid": uuid, **_echo_of(outcome.value)}
        house = Caller.system(caller.organization_id)
        await messages.publish(house, topic, encoded(echo), qos=1)
    return outcome.value


def refusal_of(outcome: Outcome) -> DomainError:
    """Return the error that a refused message is to whoever waits for an answer."""
    if outcome.reason_code == NOT_AUTHORIZED:
        if outcome.field == "token" or "token" in outcome.reason:
            return UnauthenticatedError(outcome.reason)
        return ForbiddenError(outcome.reason)
    if not outcome.reason_code:
        return UnavailableError(outcome.reason)
    return RefusedError(outcome.reason, field=outcome.field)


def _echo_of(shown: Any) -> dict[str, Any]:
    return {"dataStreams": shown} if isinstance(shown, list) else dict(shown)
