"""What people send over HTTP. Fields are spelt as the field spells them: camelCase."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Words = Annotated[str, StringConstraints(max_length=1000)]
Notes = Annotated[str, StringConstraints(max_length=2000)]
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Key = Annotated[int, Field(ge=0, lt=2**63)]
Named = Key | Code  # our key, or a code
Instant = int | float | str  # ISO 8601, epoch seconds or milliseconds
MaintenanceStatus = Literal["NONE", "HAS_PROBLEM", "NEEDS_REPAIR", "IN_MAINTENANCE", "DAMAGED"]
Role = Literal["ADMIN", "STAFF"]
MOST_DEVICES = 500


class Body(BaseModel):
    """A request's body; what is not known is passed over."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def example(**fields: Any) -> ConfigDict:
    """Return the configuration that shows this example in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class LoginBody(Body):
    model_config = example(username="admin", password="correct horse battery")

    username: Text
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class DeviceBody(Body):
    model_config = example(deviceCode="9774d56d682e549c", name="Front desk", model="SM-T225")

    device_code: Code
    name: Text | None = None
    serial_number: Text | None = None
    model: Text | None = None
    os_version: Text | None = None


class DeviceChange(Body):
    model_config = example(name="Meeting room 2")

    name: Text | None = None
    serial_number: Text | None = None
    model: Text | None = None
    os_version: Text | None = None


class CommandBody(Body):
    model_config = example(action="SHOW_MESSAGE", params={"title": "Hello", "message": "Come back"})

    action: Any
    params: Any = None


class MaintenanceBody(Body):
    model_config = example(
        deviceIds=[1], maintenanceStatus="NEEDS_REPAIR", problem="The display is cracked"
    )

    device_ids: Annotated[list[Named], Field(min_length=1, max_length=MOST_DEVICES)]
    maintenance_status: MaintenanceStatus
    problem: Words | None = None
    solution: Words | None = None


class CheckoutBody(Body):
    model_config = example(
        company="Acme",
        borrowerId="17",
        charger=2,
        deviceIds=[1, 2],
        startTime="2026-02-01T08:00:00Z",
        endTime="2026-02-03T17:00:00Z",
        usageNotes="Trade fair",
    )

    company: Text
    borrower_id: Key | Code
    charger: bool | Key | Text | None = None
    device_ids: Annotated[list[Named], Field(min_length=1, max_length=MOST_DEVICES)]
    start_time: Instant
    end_time: Instant
    usage_notes: Notes | None = None


class ReturnedItem(Body):
    item_id: Key
    problem: Words | None = None
    solution: Words | None = None
    maintenance_status: MaintenanceStatus | None = None
    return_notes: Notes | None = None


class ReturnBody(Body):
    """Either `items`, or `itemIds` for things that come back as they went."""

    model_config = example(itemIds=[1])

    items: Annotated[list[ReturnedItem], Field(max_length=MOST_DEVICES)] | None = None
    item_ids: Annotated[list[Key], Field(max_length=MOST_DEVICES)] | None = None


class CancelBody(Body):
    model_config = example(reason="The event was called off")

    reason: Words | None = None


class UserBody(Body):
    model_config = example(username="siti", password="correct horse battery", role="STAFF")

    username: Text
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    role: Role = "STAFF"
    email: Text | None = None
    full_name: Text | None = None


class UserChange(Body):
    model_config = example(fullName="Siti Rahma")

    username: Text | None = None
    role: Role | None = None
    email: Text | None = None
    full_name: Text | None = None
    is_active: bool | None = None


class PasswordBody(Body):
    """Changing one's own password needs the old one; changing somebody else's, the right to."""

    model_config = example(oldPassword="correct horse battery", newPassword="staple horse mount")

    old_password: str | None = None
    current_password: str | None = None
    new_password: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
