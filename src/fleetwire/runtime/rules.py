"""The parts of rule chains, put together."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric

from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.doings import Doings
from fleetwire.features.rules.engine import Engine
from fleetwire.features.rules.lineage import Lineage
from fleetwire.features.rules.outbox import Outbox
from fleetwire.features.rules.service import RuleService
from fleetwire.features.rules.tap import RuleTap
from fleetwire.features.rules.webhook import Webhooks
from fleetwire.ingest.batch import Sink
from fleetwire.ingest.road import Road
from fleetwire.kit import Audit, Caller, Messages, Rules, Store
from fleetwire.runtime.metrics import counter, gauge
from fleetwire.store.database import Database

MANY = 100  # messages that come while the engine reads one page


class Pressure:
    """Says whether messages come faster than the server is idle with them."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._accepted = 0

    def __call__(self) -> bool:
        """Say whether messages wait, or many have come since this was asked."""
        accepted = self._road.counters.accepted
        came, self._accepted = accepted - self._accepted, accepted
        return self._road.waiting > 0 or came > MANY


class RuleChains:
    """Engine and outbox. `join` gives them what is made after the road that they listen to."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        clock: Callable[[], int],
        *,
        allows_private_webhooks: bool,
    ) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._lineage = Lineage()
        self._messages: Messages | None = None
        self.outbox = Outbox(
            database,
            Webhooks(allows_private=allows_private_webhooks),
            self._publish,
            clock,
        )
        self.doings = Doings(registry, self.outbox, self._lineage, clock)
        self.engine = Engine(database, registry, self.doings, self._lineage, clock)

    def tap(self, readings: Sink) -> Sink:
        """Return a sink that stores readings and tells the engine."""
        return RuleTap(readings, self.engine.variables, self.engine.stored)

    def join(
        self,
        store: Store,
        messages: Messages,
        audit: Audit,
        apps: frozenset[str],
        road: Road,
    ) -> dict[type, object]:
        """Return the services that these parts make up."""
        self._messages = messages
        self.engine.join(store, Pressure(road))
        rules = RuleService(
            self._database, self.engine, self.doings, self.outbox, self._registry, audit, apps,
            self._clock,
        )  # fmt: skip
        return {Rules: rules}

    def figures(self) -> Iterable[Metric]:
        """Yield how many runs there were, and how much waits."""
        yield counter("rule_runs", "Runs of rule chains", self.engine.runs)
        yield gauge("rule_chains", "Rule chains that are enabled", len(self.engine))
        yield gauge(
            "rule_readings_behind",
            "Stored readings and events that rule chains have still to look at, at most",
            self.engine.behind,
        )
        yield gauge("rule_parcels_waiting", "Webhooks and messages to be sent", len(self.outbox))

    async def settle(self) -> None:
        """Return once what was committed before has had its runs, and what they send is sent."""
        await self.engine.settle()
        await self.outbox.idle.wait()

    async def load(self) -> None:
        """Learn what is stored, before anybody is served. Raises StoreUnavailableError."""
        await self.outbox.load()
        await self.engine.load()

    async def _publish(
        self, organization_id: int, topic: str, payload: bytes, qos: int, retain: bool
    ) -> None:
        assert self._messages is not None, "join() comes first"
        caller = Caller.system(organization_id)
        await self._messages.publish(caller, topic, payload, qos=qos, retain=retain)
