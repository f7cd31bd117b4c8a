"""RuleHub: a TestHub whose devices send named values, and short ways to make chains."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fleetwire.kit import (
    App,
    Device,
    Effect,
    NotAcceptedError,
    Reading,
    RuleChain,
    RuleDraft,
    RuleExecution,
    RuleNode,
    Rules,
    RuleSchedule,
)
from fleetwire.testing.device import HubDevice
from fleetwire.testing.hub import TestHub

APP = "barn"
DATA = "devices/{device_id}/data"


def barn() -> App:
    """An app whose devices send `{metric: value, …, "at": microseconds?}`."""
    app = App(
        APP,
        publishes=[DATA],
        subscribes=["devices/{device_id}/commands"],
        command_topic="devices/{device_id}/commands",
    )

    @app.subscribe(DATA)
    def measured(device: Device, body: dict[str, Any]) -> list[Effect]:
        if not body:
            raise NotAcceptedError("There is nothing in it.")
        at = body.pop("at", None)
        return [Reading(device, name, value, at=at) for name, value in body.items()]

    return app


class RuleHub(TestHub):
    """A house with the barn app."""

    sensor: HubDevice
    other: HubDevice
    fan: HubDevice

    @property
    def rules(self) -> Rules:
        """The chains."""
        return self.service(Rules)  # type: ignore[type-abstract]  # asked for by its interface

    async def send(self, device: HubDevice | None = None, **values: Any) -> None:
        """Let a device send values, and all chains that it wakes be run."""
        outcome = await (device or self.sensor).send(DATA, values)
        assert outcome.is_stored, outcome
        await self.settle_rules()

    async def settle_rules(self) -> None:
        """Return once chains have run, and what they send is sent."""
        await self.house.rules.settle()

    async def make(
        self, *nodes: RuleNode, id: str = "c", schedule: RuleSchedule | None = None, **said: Any
    ) -> RuleChain:
        """Store a chain."""
        draft = RuleDraft(said.pop("name", id), nodes, schedule=schedule, **said)
        return await self.rules.create(self.caller, APP, draft, chain_id=id)

    async def log(self, chain_id: str = "c", outcome: str | None = None) -> list[RuleExecution]:
        """Return a chain's runs, oldest first."""
        page = await self.rules.executions(self.caller, APP, chain_id, outcome=outcome, limit=1000)
        return page.items[::-1]

    async def outcomes(self, chain_id: str = "c") -> list[str]:
        """Return how a chain's runs ended, oldest first."""
        return [each.outcome for each in await self.log(chain_id)]

    def alarms(self) -> list[Mapping[str, Any]]:
        """Return the alarms that were raised."""
        return [event.body for event in self.events if event.name == "alarm.raised"]


@asynccontextmanager
async def open_hub(
    folder: Path, *apps: App, environment: Mapping[str, str] | None = None
) -> AsyncIterator[RuleHub]:
    """Open a house with its devices."""
    async with RuleHub(*(apps or (barn(),)), folder=folder, environment=environment) as hub:
        hub.sensor = await hub.device("s-1")
        hub.other = await hub.device("s-2")
        hub.fan = await hub.device("fan-1")
        yield hub


def leaf(
    operator: str = ">", value: Any = 30, key: str = "temperature", device: str = "s-1", **more: Any
) -> dict[str, Any]:
    """Return a comparison."""
    said = {"sourceType": "sensor", "UUID": device, "key": key, "operator": operator, **more}
    return said if value is None else said | {"value": value}


def when(
    config: dict[str, Any] | None = None, *, id: str = "f", then: str | None = "a"
) -> RuleNode:
    """Return a filter."""
    return RuleNode(id, "filter", leaf() if config is None else config, next=then)


def alarm(id: str = "a", *, then: str | None = None, **said: Any) -> RuleNode:
    """Return an action that raises an alarm."""
    return RuleNode(id, "action", {"type": "ALARM", "alarm": said}, next=then)


def command(id: str = "a", *, then: str | None = None, **said: Any) -> RuleNode:
    """Return an action that switches the fan."""
    asked = {"deviceUuid": "fan-1", "stateName": "power", "value": "on"} | said
    return RuleNode(id, "action", {"type": "DEVICE_COMMAND", "command": asked}, next=then)
