"""Rule chains as HTTP takes and shows them."""

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.rules.checking import MAX_DESCRIPTION_CHARS, MAX_ID_CHARS, MAX_NAME_CHARS
from fleetwire.features.rules.expressions import MAX_KEY_CHARS
from fleetwire.features.rules.program import MAX_NODES
from fleetwire.features.rules.service import MAX_TRIGGER_CHARS
from fleetwire.kit.instants import iso
from fleetwire.kit.rules import DryRun, NodeOutcome, RuleChain, RuleDraft, RuleExecution

_FILTER: dict[str, Any] = {
    "id": "hot",
    "type": "filter",
    "config": {
        "type": "AND",
        "expressions": [
            {
                "sourceType": "sensor",
                "UUID": "bp-1",
                "key": "systolic",
                "operator": ">",
                "value": 160,
                "duration": "5m",
            },
            {
                "sourceType": "sensor",
                "UUID": "bp-1",
                "key": "heart_rate",
                "operator": "between",
                "value": [40, 120],
            },
        ],
    },
    "next": "tell",
}
_ACTION: dict[str, Any] = {
    "id": "tell",
    "type": "action",
    "config": {
        "type": "ALARM",
        "alarm": {
            "name": "pressure",
            "severity": "critical",
            "message": "systolic is {{systolic}}",
        },
    },
}
_DRAFT: dict[str, Any] = {"name": "Pressure stays high", "nodes": [_FILTER, _ACTION]}
_NODE: dict[str, Any] = {
    "node": "hot",
    "type": "filter",
    "outcome": "passed",
    "inputs": {"bp-1.systolic": 171, "bp-1.heart_rate": 88},
    "result": True,
    "error": None,
}
_EXECUTION: dict[str, Any] = {
    "id": 41,
    "chain_id": "3f2a9c3d1e7b8a60",
    "trigger": "reading:90311",
    "kind": "telemetry",
    "outcome": "completed",
    "aborted_reason": None,
    "error": None,
    "repeats": 0,
    "started_at": "2026-01-31T12:00:00.250Z",
    "nodes": [_NODE],
}


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    # A name that is not ours would be dropped, and its sender would not know.
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(examples)})


class NodeBody(BaseModel):
    """One step of a chain; docs/rules.md says what stands in `config`."""

    model_config = _examples(_FILTER, _ACTION)

    id: str = Field(min_length=1, max_length=MAX_KEY_CHARS)
    type: Literal["filter", "transform", "action"]
    config: dict[str, Any]
    next: str | None = Field(
        None, max_length=MAX_KEY_CHARS, description="the node that follows; null: the chain ends"
    )
    name: str = Field("", max_length=MAX_NAME_CHARS)


class ScheduleBody(BaseModel):
    """When a chain runs by the clock."""

    model_config = _examples({"cron": "0 6 * * MON-FRI", "timezone": "Europe/Berlin"})

    cron: str = Field(min_length=1, max_length=200)
    timezone: str = Field("UTC", min_length=1, max_length=64)


class ChainChange(BaseModel):
    """What is to be changed; what is not sent stays, what is sent is all there is from now on."""

    model_config = _examples({"enabled": False})

    name: str = Field("", max_length=MAX_NAME_CHARS)
    description: str = Field("", max_length=MAX_DESCRIPTION_CHARS)
    enabled: bool = True
    nodes: list[NodeBody] = Field([], max_length=MAX_NODES)
    schedule: ScheduleBody | None = None
    start: str | None = Field(
        None, max_length=MAX_KEY_CHARS, description="null: the first node that no other leads to"
    )

    def applied(self, draft: RuleDraft) -> RuleDraft:
        """Return the draft with what was sent."""
        sent = self.model_dump(include=self.model_fields_set - {"id", "app"})
        return msgspec.convert(msgspec.to_builtins(draft) | sent, RuleDraft)


class Draft(ChainChange):
    """What a chain says."""

    model_config = _examples(_DRAFT)

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)

    def draft(self) -> RuleDraft:
        """Return the draft that this says."""
        return self.applied(RuleDraft(self.name))


class NewChain(Draft):
    """A chain to be made. Devices that it names are those of `app`."""

    model_config = _examples({"app": "medical"} | _DRAFT)

    app: str = Field(min_length=1, max_length=64)
    id: str | None = Field(None, max_length=MAX_ID_CHARS, description="null: it is given one")


class NewRun(BaseModel):
    """A run that a person asks for."""

    model_config = _examples({"trigger": "visit-17"})

    trigger: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TRIGGER_CHARS,
        description="the same again runs nothing and answers with the first run",
    )


class NewDryRun(BaseModel):
    """A span of stored readings; without `draft` the chain as it is stored."""

    model_config = _examples(
        {"from": "2026-01-30T00:00:00Z", "to": "2026-01-31T00:00:00Z", "draft": _DRAFT}
    )

    draft: Draft | None = None
    from_: str | None = Field(None, alias="from", max_length=64)
    to: str | None = Field(None, max_length=64)
    limit: int = Field(50, ge=1, le=1000, description="of the runs that are shown")


class ChainView(BaseModel):
    """A rule chain; `next_at` is when its schedule is due."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _DRAFT
                | {
                    "app": "medical",
                    "id": "3f2a9c3d1e7b8a60",
                    "description": "",
                    "enabled": True,
                    "schedule": None,
                    "start": None,
                    "next_at": None,
                    "created_at": "2026-01-30T08:00:00.000Z",
                    "updated_at": "2026-01-30T08:00:00.000Z",
                }
            ]
        }
    )

    app: str
    id: str
    name: str
    description: str
    enabled: bool
    nodes: list[NodeBody]
    schedule: ScheduleBody | None
    start: str | None
    next_at: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, chain: RuleChain) -> "ChainView":
        """Return the view of a chain."""
        return cls(
            app=chain.app,
            id=chain.id,
            **msgspec.to_builtins(chain.draft),
            next_at=None if chain.next_at is None else iso(chain.next_at),
            created_at=iso(chain.created_at),
            updated_at=iso(chain.updated_at),
        )


class ChainPage(BaseModel):
    """One page of chains, in the order they were made."""

    items: list[ChainView]
    next_cursor: str | None = None


class NodeView(BaseModel):
    """What one node saw and did; `inputs` are the values it looked at."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NODE]})

    node: str
    type: str
    outcome: str = Field(
        description="passed, stopped, changed, done, queued, delivered, retrying, planned or failed"
    )
    inputs: dict[str, Any]
    result: Any
    error: str | None

    @classmethod
    def of(cls, node: NodeOutcome) -> "NodeView":
        """Return the view of what a node did."""
        return cls(**msgspec.to_builtins(node))


class ExecutionView(BaseModel):
    """One run of a chain."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXECUTION]})

    id: int
    chain_id: str
    trigger: str
    kind: str = Field(description="telemetry, schedule or manual")
    outcome: str = Field(description="completed, stopped, aborted or failed")
    aborted_reason: str | None = Field(description="circular, too_many_steps or loop")
    error: str | None
    repeats: int = Field(description="runs just like it, within a second, not stored themselves")
    started_at: str
    nodes: list[NodeView]

    @classmethod
    def of(cls, execution: RuleExecution) -> "ExecutionView":
        """Return the view of a run."""
        said = msgspec.to_builtins(execution)
        return cls(**said | {"started_at": iso(execution.started_at)})


class ExecutionPage(BaseModel):
    """One page of runs, newest first."""

    items: list[ExecutionView]
    next_cursor: str | None = None


class DryRunView(BaseModel):
    """What a chain would have done; nothing was done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "readings": 1440,
                    "outcomes": {"stopped": 1438, "completed": 2},
                    "executions": [_EXECUTION],
                    "is_whole": True,
                }
            ]
        }
    )

    readings: int
    outcomes: dict[str, int]
    executions: list[ExecutionView]
    is_whole: bool = Field(description="false: there are more readings than were looked at")

    @classmethod
    def of(cls, run: DryRun) -> "DryRunView":
        """Return the view of a dry run."""
        return cls(
            readings=run.readings,
            outcomes=run.outcomes,
            executions=[ExecutionView.of(each) for each in run.executions],
            is_whole=run.is_whole,
        )
