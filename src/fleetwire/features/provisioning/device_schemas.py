"""What devices send to get in, and what they are told."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.devices.rules import MAX_ID_CHARS, MAX_TYPE_CHARS
from fleetwire.features.provisioning.enrolling import POLL_AFTER_S, Answer
from fleetwire.features.provisioning.way_in import LetIn

_LET_IN = {
    "app": "medical",
    "device_id": "bp-7",
    "type": "blood_pressure_monitor",
    "username": "bp-7",
    "password": "64 hexadecimal digits",
    "host": "fleet.example.org",
    "ports": {"mqtt": 1883, "mqtts": 8883, "mqtt_ws": 9001},
    "publish": ["devices/bp-7/data", "devices/bp-7/status"],
    "subscribe": ["devices/bp-7/commands"],
}


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class ClaimUse(BaseModel):
    """A claim code, as it was typed; the device_id only where the claim leaves it open."""

    model_config = _examples({"code": "7KQ4-M2ZD-9XRA"})

    code: str = Field(max_length=64)
    device_id: str | None = Field(None, max_length=MAX_ID_CHARS)


class EnrolmentRequest(BaseModel):
    """A device asks to be let in; `facts` are for the person who decides."""

    model_config = _examples(
        {
            "fleet_key": "fwf_ and 43 characters",
            "device_id": "ecg-81",
            "facts": {"serial": "A-4711", "firmware": "2.1.0"},
        }
    )

    fleet_key: str = Field(max_length=256)
    device_id: str = Field(max_length=MAX_ID_CHARS)
    app: str | None = Field(None, max_length=64)
    type: str | None = Field(None, min_length=1, max_length=MAX_TYPE_CHARS)
    facts: dict[str, Any] = {}


class Poll(BaseModel):
    """A device asks how far its request is."""

    model_config = _examples({"poll_token": "43 characters"})

    poll_token: str = Field(max_length=256)


class LetInView(BaseModel):
    """How the device connects. The password is shown here; once it was used, never again."""

    model_config = _examples(_LET_IN)

    app: str
    device_id: str
    type: str
    username: str
    password: str
    host: str
    ports: dict[str, int] = Field(description="mqtt, mqtts (TLS), mqtt_ws, mqtt_wss, if open")
    publish: list[str]
    subscribe: list[str]

    @classmethod
    def of(cls, let_in: LetIn) -> "LetInView":
        """Return the view of what a device is told."""
        return cls(
            app=let_in.app,
            device_id=let_in.device_id,
            type=let_in.type,
            username=let_in.credential.username,
            password=let_in.credential.password,
            host=let_in.host,
            ports=let_in.ports,
            publish=let_in.publish,
            subscribe=let_in.subscribe,
        )


class AnswerView(BaseModel):
    """How far a request is. `poll_token` comes once, with the first answer: keep it."""

    model_config = _examples({"state": "pending", "poll_token": "43 characters"})

    state: str = Field(description="pending (202) or enrolled (200)")
    poll_token: str | None = None
    poll_after_s: int | None = None
    mqtt: LetInView | None = None

    @classmethod
    def of(cls, answer: Answer) -> "AnswerView":
        """Return the view of an answer."""
        return cls(
            state=answer.state,
            poll_token=answer.poll_token,
            poll_after_s=POLL_AFTER_S if answer.let_in is None else None,
            mqtt=None if answer.let_in is None else LetInView.of(answer.let_in),
        )
