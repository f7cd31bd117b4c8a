"""What the routes have in common: the envelope, bodies in camelCase, lists, who may what."""

from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import Row

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.sources import APP
from fleetwire.kit import (
    Audit,
    Caller,
    Commands,
    Device,
    Devices,
    Intake,
    Machines,
    Messages,
    NotFoundError,
    People,
    Store,
    UnauthenticatedError,
    can_answer,
    remote_of,
    service,
)

TheStore = Annotated[Store, service(Store)]
TheDevices = Annotated[Devices, service(Devices)]
TheIntake = Annotated[Intake, service(Intake)]
TheMachines = Annotated[Machines, service(Machines)]
TheMessages = Annotated[Messages, service(Messages)]
TheCommands = Annotated[Commands, service(Commands)]
TheAudit = Annotated[Audit, service(Audit)]
ThePeople = Annotated[People, service(People)]

Key = Annotated[int, Path(ge=1, lt=2**63)]
KeyInBody = Annotated[int, Field(ge=1, lt=2**63)]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Word = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(max_length=20, description="nextCursor of the last answer")]
OrganizationId = Annotated[
    int | None, Query(alias="organizationId", ge=1, lt=2**63, description="Of one farm only")
]

Answer = dict[str, Any]

VIEW: Final = "device.read"
VALUES: Final = "telemetry.read"
WRITE: Final = "device.write"
COMMAND: Final = "command.send"
MANAGE: Final = "account.manage"
PUBLISH: Final = "message.publish"

WRONG: dict[int | str, dict[str, Any]] = {
    400: {"description": "Something in the request is wrong or missing: `field` names it"},
    404: {"description": "Something that is named is not in your organisation"},
}
TAKEN: dict[int | str, dict[str, Any]] = {409: {"description": "The name is taken"}}


class Body(BaseModel):
    """A body in camelCase; names as they are in Python are understood, too."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    def given(self) -> dict[str, Any]:
        """Return what was sent, by column."""
        return self.model_dump(exclude_unset=True)


def success(**data: Any) -> Answer:
    """Return `{status, data}`."""
    return {"status": "success", "data": data}


def listed(name: str, found: list[Row[Any]], cursor: str | None) -> Answer:
    """Return `{status, results, data, nextCursor}`, the last None at the end."""
    shown = [rows.shown(each) for each in found]
    return {
        "status": "success",
        "results": len(shown),
        "data": {name: shown},
        "nextCursor": cursor,
    }


def tagged(response: Response, row: Row[Any]) -> dict[str, Any]:
    """Return a row as the wire has it, its entity tag being a header of the answer."""
    response.headers["ETag"] = rows.tag_of(row)
    return rows.shown(row)


def device_of(devices: Devices, caller: Caller, uuid: str) -> Device:
    """Return the platform's device of this uuid. Raises NotFoundError."""
    device = devices.find(APP, uuid)
    if device is None or device.organization_id != caller.organization_id:
        raise NotFoundError("There is no such device.", field="deviceUuid")
    return device


def token_in(request: Request) -> str:
    """Return the Bearer token of a request, "" if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@can_answer(401, 429)
async def who_holds(request: Request, machines: TheMachines) -> Caller:
    """Return the sensor or device whose token is sent as Bearer. Raises UnauthenticatedError."""
    token = token_in(request)
    if not token:
        raise UnauthenticatedError("Send the device token as `Authorization: Bearer <token>`.")
    return machines.holder(APP, token, remote_of(request))


Holder = Annotated[Caller, Depends(who_holds)]
