"""Audit records as HTTP shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleetwire.features.audit.service import AuditRecord
from fleetwire.kit.instants import iso


class AuditRecordView(BaseModel):
    """One deed: who did what to what, when, from where, and whether it was let happen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711,
                    "at": "2026-01-31T12:00:00.250Z",
                    "actor": "account:17",
                    "action": "device.registered",
                    "subject": "device:medical/bp-1",
                    "outcome": "ok",
                    "remote": "192.0.2.10",
                    "detail": {"type": "blood_pressure"},
                }
            ]
        }
    )

    id: int
    at: str
    actor: str
    action: str
    subject: str | None
    outcome: str
    remote: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, record: AuditRecord) -> "AuditRecordView":
        """Return the view of a record."""
        return cls(
            id=record.id,
            at=iso(record.at),
            actor=record.actor,
            action=record.action,
            subject=record.subject,
            outcome=record.outcome,
            remote=record.remote,
            detail=record.detail,
        )


class AuditPage(BaseModel):
    """One page of audit records, newest first."""

    items: list[AuditRecordView]
    next_cursor: str | None = None
