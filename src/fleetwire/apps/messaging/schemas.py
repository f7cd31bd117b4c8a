"""What people send, over HTTP and Socket.IO alike. A field that is not known is refused by name."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from fleetwire.apps.messaging.tables import TOPIC_CHARS
from fleetwire.kit import InvalidValueError

Topic = Annotated[str, Field(min_length=1, max_length=TOPIC_CHARS)]
QoS = Annotated[StrictInt, Field(ge=0, le=2)]

B = TypeVar("B", bound="Body")


def example(**fields: Any) -> ConfigDict:
    """Return the configuration that shows this example in the OpenAPI document."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [fields]})


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid")


class PublishBody(Body):
    model_config = example(topic="chat/room1", payload={"text": "Hello"}, qos=1, retain=False)

    topic: Topic
    payload: Any
    qos: QoS = 0
    retain: StrictBool = False


class SubscribeBody(Body):
    model_config = example(topic="chat/room1", qos=1)

    topic: Topic
    qos: QoS = 0


class UnsubscribeBody(Body):
    topic: Topic


class BroadcastBody(Body):
    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={
            "examples": [{"topic": "broadcast/announcements", "message": {"text": "Hello, all"}}]
        },
    )

    topic: Topic
    message: dict[str, Any]
    include_timestamp: Annotated[StrictBool, Field(alias="includeTimestamp")] = True


def parsed(model: type[B], said: object) -> B:
    """Return what a client said as a body. Raises InvalidValueError naming the field."""
    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(each) for each in first["loc"])
        message = f"{field}: {first['msg']}" if field else "Send one object with it."
        raise InvalidValueError(message, field=field or None) from None
