"""Metrics: what Prometheus reads, off plain counters that cost nothing between two scrapes."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "fleetwire_"

Labelled = Mapping[tuple[str], float] | Mapping[tuple[str, str], float]
Figures = Callable[[], Iterable[Metric]]


class Metrics(Collector):
    """The figures of all parts of the house."""

    def __init__(self, parts: Sequence[Figures]) -> None:
        self._parts = parts
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        for figures in self._parts:
            yield from figures()

    def text(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)


def counter(name: str, says: str, value: float) -> Metric:
    """Return a number that only grows."""
    metric = CounterMetricFamily(PREFIX + name, says)
    metric.add_metric([], value)
    return metric


def gauge(name: str, says: str, value: float) -> Metric:
    """Return a number of now."""
    metric = GaugeMetricFamily(PREFIX + name, says)
    metric.add_metric([], value)
    return metric


def counters(name: str, says: str, labels: Sequence[str], values: Labelled) -> Metric:
    """Return numbers that only grow, each with its labels."""
    metric = CounterMetricFamily(PREFIX + name, says, labels=labels)
    for label, value in values.items():
        metric.add_metric(label, value)
    return metric


def gauges(name: str, says: str, labels: Sequence[str], values: Labelled) -> Metric:
    """Return numbers of now, each with its labels."""
    metric = GaugeMetricFamily(PREFIX + name, says, labels=labels)
    for label, value in values.items():
        metric.add_metric(label, value)
    return metric
