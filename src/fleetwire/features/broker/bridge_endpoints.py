"""HTTP: the bridges to other brokers."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fleetwire.features.broker.bridges import BridgesService
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso
from fleetwire.net.bridge.status import BridgeStatus

router = APIRouter(prefix="/api/v1/broker", tags=["broker"])

TheBridges = Annotated[BridgesService, service(BridgesService)]


class BridgeView(BaseModel):
    """A bridge; messages are counted since the start of the server."""

    name: str
    url: str = Field(description="its password masked")
    state: Literal["connected", "connecting", "away"]
    since: str | None = Field(description="when the state began")
    reason: str = Field(description="why it is not connected, or not whole; else empty")
    protocol: str | None = Field(description="5.0 or 3.1.1, while connected")
    queued: int = Field(description="messages for the other side that it has not acknowledged")
    messages_in: int
    messages_out: int
    dropped: dict[str, int] = Field(description="messages that did not go across, by reason")

    @classmethod
    def of(cls, status: BridgeStatus) -> "BridgeView":
        """Return the view of a bridge."""
        return cls(
            name=status.name,
            url=status.url,
            state=status.state,
            since=iso(status.since_at) if status.since_at else None,
            reason=status.reason,
            protocol=status.protocol,
            queued=status.queued,
            messages_in=status.counts.messages_in,
            messages_out=status.counts.messages_out,
            dropped=dict(status.counts.dropped),
        )


class BridgesView(BaseModel):
    """All bridges."""

    items: list[BridgeView]


@router.get("/bridges")
async def list_bridges(caller: Asks, bridges: TheBridges) -> BridgesView:
    """List the bridges to other brokers, with how they are."""
    return BridgesView(items=[BridgeView.of(each) for each in bridges.list(caller)])
