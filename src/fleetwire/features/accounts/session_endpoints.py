"""HTTP: the logins of people that go on."""

from fastapi import APIRouter, status
from pydantic import BaseModel, Field

from fleetwire.features.accounts.endpoints import TheAccounts
from fleetwire.features.accounts.login_repository import Session
from fleetwire.kit.http import Asks
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1", tags=["sign in"])


class SessionView(BaseModel):
    """A login of yours that goes on."""

    id: str
    organization_id: int
    created_at: str
    used_at: str = Field(description="when its tokens were last renewed")
    expires_at: str = Field(description="if it is not renewed before")
    remote: str | None = Field(description="the address it was begun from")
    is_current: bool = Field(description="it is the one you ask with")

    @classmethod
    def of(cls, session: Session, current: str) -> "SessionView":
        """Return the view of a login; `current` is the one that asks."""
        return cls(
            id=session.id,
            organization_id=session.organization_id,
            created_at=iso(session.created_at),
            used_at=iso(session.used_at),
            expires_at=iso(session.expires_at),
            remote=session.remote or None,
            is_current=session.id == current,
        )


class SessionList(BaseModel):
    """Your logins, those used last first."""

    items: list[SessionView]


@router.get("/me/sessions")
async def list_sessions(caller: Asks, accounts: TheAccounts) -> SessionList:
    """List your logins that go on."""
    found = await accounts.sessions(caller)
    return SessionList(items=[SessionView.of(each, caller.login) for each in found])


@router.delete("/me/sessions/{session_id}", status_code=status.HTTP_204_NO_CONTENT)
async def end_session(session_id: str, caller: Asks, accounts: TheAccounts) -> None:
    """End a login of yours: its tokens, and what is connected with them, at once."""
    await accounts.end_session(caller, session_id)


@router.delete("/accounts/{account_id}/sessions", status_code=status.HTTP_204_NO_CONTENT)
async def end_sessions(account_id: int, caller: Asks, accounts: TheAccounts) -> None:
    """End somebody's logins for your organisation, at once."""
    await accounts.end_sessions(caller, account_id)
