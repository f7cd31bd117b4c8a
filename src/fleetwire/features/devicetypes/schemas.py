"""Device types as HTTP takes and shows them."""

from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.devices.rules import MAX_TYPE_CHARS
from fleetwire.features.devicetypes.rules import (
    MAX_CHOICES,
    MAX_COMMANDS,
    MAX_DESCRIPTION_CHARS,
    MAX_METRICS,
    MAX_NAME_CHARS,
    MAX_PARAMETERS,
    MAX_RANGES,
    MAX_STATES,
    MAX_TEMPLATES,
    MAX_UNIT_CHARS,
)
from fleetwire.kit.instants import iso
from fleetwire.kit.types import DeviceType, DeviceTypeRecord, ParameterKind

_TYPE: dict[str, Any] = {
    "name": "fridge",
    "description": "A fridge for vaccines",
    "metrics": [
        {
            "name": "temperature",
            "unit": "Cel",
            "low": 2,
            "high": 8,
            "others": [{"unit": "[degF]", "low": 35.6, "high": 46.4}],
        }
    ],
    "states": ["cooling", "idle", "defrosting"],
    "commands": [
        {
            "name": "defrost",
            "parameters": [
                {"name": "minutes", "type": "integer", "required": True, "low": 1, "high": 60}
            ],
        }
    ],
    "publishes": ["devices/{device_id}/data"],
    "subscribes": ["devices/{device_id}/commands"],
}


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    # A name that is not ours would be dropped, and its sender would not know.
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(examples)})


class RangeBody(BaseModel):
    """The plausible range in one unit; without a bound there is none."""

    model_config = _examples({"unit": "[degF]", "low": 35.6, "high": 46.4})

    unit: str = Field(max_length=MAX_UNIT_CHARS, description="UCUM")
    low: float | None = None
    high: float | None = None


class MetricBody(BaseModel):
    """One thing that is measured. A reading outside its range is flagged and raises an alarm."""

    model_config = _examples(*_TYPE["metrics"])

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    unit: str = Field("", max_length=MAX_UNIT_CHARS, description="UCUM")
    low: float | None = None
    high: float | None = None
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)
    others: list[RangeBody] = Field(
        [], max_length=MAX_RANGES, description="the range in other units"
    )


class ParameterBody(BaseModel):
    """One parameter. `low` and `high` bound numbers, and the length of text and lists."""

    model_config = _examples(*_TYPE["commands"][0]["parameters"])

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    type: ParameterKind = "number"
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: list[str | float] = Field(
        [], max_length=MAX_CHOICES, description="all values that it can have"
    )
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)


class CommandBody(BaseModel):
    """One command. Without `parameters` it takes whatever is sent."""

    model_config = _examples(*_TYPE["commands"])

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    parameters: list[ParameterBody] | None = Field(None, max_length=MAX_PARAMETERS)
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)


class TypeChange(BaseModel):
    """What is to be changed; what is not sent stays, what is sent is all there is from now on."""

    model_config = _examples({"states": ["cooling", "idle"]})

    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)
    metrics: list[MetricBody] = Field([], max_length=MAX_METRICS)
    states: list[str] = Field([], max_length=MAX_STATES)
    commands: list[CommandBody] = Field([], max_length=MAX_COMMANDS)
    publishes: list[str] = Field([], max_length=MAX_TEMPLATES)
    subscribes: list[str] = Field([], max_length=MAX_TEMPLATES)

    def applied(self, type: DeviceType) -> DeviceType:
        """Return the type with what was sent."""
        sent = self.model_dump(include=self.model_fields_set)
        return msgspec.convert(msgspec.to_builtins(type) | sent, DeviceType)


class NewType(TypeChange):
    """A type to be made. It applies to the organisation's devices whose `type` is its name."""

    model_config = _examples(_TYPE)

    name: str = Field(min_length=1, max_length=MAX_TYPE_CHARS)

    def type(self) -> DeviceType:
        """Return the type that this says."""
        return msgspec.convert(self.model_dump(), DeviceType)


class TypeView(BaseModel):
    """A device type: an app's that declares it, or the organisation's own (`app` null)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _TYPE
                | {
                    "app": None,
                    "created_at": "2026-01-30T08:00:00.000Z",
                    "updated_at": "2026-01-30T08:00:00.000Z",
                }
            ]
        }
    )

    name: str
    app: str | None
    description: str
    metrics: list[MetricBody]
    states: list[str]
    commands: list[CommandBody]
    publishes: list[str]
    subscribes: list[str]
    created_at: str | None
    updated_at: str | None

    @classmethod
    def of(cls, record: DeviceTypeRecord) -> "TypeView":
        """Return the view of a type."""
        created_at, updated_at = record.created_at, record.updated_at
        return cls(
            **msgspec.to_builtins(record.type),
            app=record.app,
            created_at=None if created_at is None else iso(created_at),
            updated_at=None if updated_at is None else iso(updated_at),
        )


class TypePage(BaseModel):
    """One page of types: the apps' first, then the organisation's own in the order made."""

    items: list[TypeView]
    next_cursor: str | None = None
