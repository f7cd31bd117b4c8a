"""Audit records as HTTP shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleetwire.features.audit.service import AuditRecord, Verdicts
from fleetwire.features.audit.verification import Verdict
from fleetwire.kit.instants import iso


class AuditRecordView(BaseModel):
    """One deed: who did what to what, when, from where, and whether it was let happen.

    `digest` is over the record and `previous`, the digest of the record before it.
    """

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
                    "previous": "9b74c9897bac770ffc029102a200c5de11f5b1a6d7c7b3e1c3e3a2e0c8f0a4d1",
                    "digest": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
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
    previous: str | None
    digest: str | None

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
            previous=record.previous,
            digest=record.digest,
        )


class AuditPage(BaseModel):
    """One page of audit records, newest first."""

    items: list[AuditRecordView]
    next_cursor: str | None = None


class BrokenView(BaseModel):
    """The first record that does not hold, and why."""

    id: int
    at: str
    reason: str


class ChainView(BaseModel):
    """One chain. `unchained` records are older than the chain and cannot be checked.

    `head` is the digest it ends with: keep it elsewhere, and ask later with `known`.
    """

    rows: int
    unchained: int
    head: str
    broken: BrokenView | None

    @classmethod
    def of(cls, verdict: Verdict) -> "ChainView":
        """Return the view of what was found of a chain."""
        broken = verdict.broken
        return cls(
            rows=verdict.rows,
            unchained=verdict.unchained,
            head=verdict.head,
            broken=None
            if broken is None
            else BrokenView(id=broken.id, at=_instant(broken.at), reason=broken.reason),
        )


class VerdictView(BaseModel):
    """Whether the records are as they were written. `unknown` is the chain of unknown actors.

    `known` says whether the digest that was asked for still stands, null if none was.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "holds": False,
                    "known": None,
                    "own": {
                        "rows": 812,
                        "unchained": 0,
                        "head": "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
                        "broken": {
                            "id": 811,
                            "at": "2026-01-31T12:00:00.250Z",
                            "reason": "its content is not what was recorded",
                        },
                    },
                    "unknown": None,
                }
            ]
        }
    )

    holds: bool
    known: bool | None
    own: ChainView
    unknown: ChainView | None

    @classmethod
    def of(cls, found: Verdicts) -> "VerdictView":
        """Return the view of what was found."""
        return cls(
            holds=found.holds,
            known=found.has_known,
            own=ChainView.of(found.own),
            unknown=None if found.unknown is None else ChainView.of(found.unknown),
        )


def _instant(at: int) -> str:
    try:
        return iso(at)
    except (OverflowError, ValueError):  # whoever broke the row may have written anything there
        return ""
