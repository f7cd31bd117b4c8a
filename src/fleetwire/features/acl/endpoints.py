"""HTTP: may somebody publish or subscribe, and why."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fleetwire.features.acl.service import AclTester
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/acl", tags=["acl"])

TheTester = Annotated[AclTester, service(AclTester)]


class RulingView(BaseModel):
    """Whether it may, and why; `needed` says what is missing if it may not."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "allowed": True,
                    "may_connect": True,
                    "reason": "Its right 'devices/bp-1/data' covers 'devices/bp-1/data'",
                    "right": "devices/bp-1/data",
                    "template": "devices/{device_id}/data",
                    "given_by": "the app 'medical'",
                    "role": "device",
                    "credential": "credential 4",
                    "needed": None,
                    "rights": ["devices/bp-1/data", "devices/bp-1/status"],
                }
            ]
        },
    )

    allowed: bool
    may_connect: bool
    reason: str
    right: str | None
    template: str | None
    given_by: str | None
    role: str | None
    credential: str | None
    needed: str | None
    rights: list[str]


@router.get(
    "/test", responses={404: {"description": "There is no such identity in your organisation"}}
)
async def read_ruling(
    caller: Asks,
    tester: TheTester,
    identity: Annotated[
        str,
        Query(
            max_length=256,
            description="device:<app>/<device_id>, account:<number>, key:<number> or anonymous",
            examples=["device:medical/bp-1"],
        ),
    ],
    action: Literal["publish", "subscribe"],
    topic: Annotated[str, Query(max_length=1024, examples=["devices/bp-1/data"])],
    client_id: Annotated[
        str, Query(max_length=256, description="for rights that name it; else the device_id")
    ] = "",
    listener: Annotated[
        Literal["tcp", "tls", "ws", "wss", "unix"], Query(description="for anonymous clients")
    ] = "tcp",
) -> RulingView:
    """Say whether a client would be let publish or subscribe if it connected now, and why.

    It is asked of the same code that decides at CONNECT. Needs the permission `broker.read`.
    """
    ruling = tester.test(caller, identity, action, topic, client_id=client_id, listener=listener)
    return RulingView.model_validate(ruling)
