"""The device types the field knows: their metrics, units (UCUM) and plausible ranges.

A range says what a working device on a living patient can show. It is wide on purpose: a value
outside is kept, flagged and raises an alarm, because it is either a fault or an emergency.
"""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from fleetwire import kit

HIGHEST = sys.float_info.max
LOWEST = -HIGHEST

# How the field spells units. A unit is stored as it was sent; this only finds its range.
_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "mm[hg]": "mmHg",
        "mmhg": "mmHg",
        "bpm": "/min",
        "/min": "/min",
        "{beats}/min": "/min",
        "beats/min": "/min",
        "1/min": "/min",
        "mg/dl": "mg/dL",
        "mmol/l": "mmol/L",
        "%": "%",
        "percent": "%",
        "kg": "kg",
        "g": "g",
        "lb": "[lb_av]",
        "lbs": "[lb_av]",
        "[lb_av]": "[lb_av]",
        "cel": "Cel",
        "c": "Cel",
        "°c": "Cel",
        "celsius": "Cel",
        "f": "[degF]",
        "°f": "[degF]",
        "fahrenheit": "[degF]",
        "[degf]": "[degF]",
    }
)


class Metric:
    """One number a device measures: the unit it has unless said otherwise, and its ranges by unit.

    `low` and `high` are the range in `unit`, both ends plausible.
    """

    __slots__ = ("high", "low", "ranges", "unit")

    def __init__(
        self, unit: str, low: float, high: float, **others: tuple[str, float, float]
    ) -> None:
        self.unit = unit
        self.low = low
        self.high = high
        self.ranges = {unit: (low, high)}
        self.ranges.update({other: (least, most) for other, least, most in others.values()})

    def measures(self, unit: str) -> bool:
        """Say whether this unit, in any spelling, is one of this metric's."""
        return _canonical(unit) in self.ranges

    def range_in(self, unit: str) -> tuple[float, float]:
        """Return the plausible range in this unit; for a unit nobody knows, any finite number."""
        return self.ranges.get(_canonical(unit), (LOWEST, HIGHEST))


def _canonical(unit: str) -> str:
    return _SPELLINGS.get(unit.lower(), unit)


FREE = Metric("", LOWEST, HIGHEST)
"""What is known of a metric that is in no table: nothing."""


_PRESSURE_HIGH = Metric("mmHg", 50.0, 280.0)
_PRESSURE_LOW = Metric("mmHg", 20.0, 180.0)
_PRESSURE_MEAN = Metric("mmHg", 30.0, 220.0)
_RATE = Metric("/min", 20.0, 300.0)
_GLUCOSE = Metric("mg/dL", 10.0, 800.0, molar=("mmol/L", 0.5, 45.0))
_SATURATION = Metric("%", 50.0, 100.0)
_WEIGHT = Metric("kg", 0.3, 400.0, grams=("g", 300.0, 400_000.0), pounds=("[lb_av]", 0.6, 882.0))
_TEMPERATURE = Metric("Cel", 25.0, 45.0, fahrenheit=("[degF]", 77.0, 113.0))

# Keys are lower case: devices write SpO2, spo2 and SPO2.
DEVICE_TYPES: Mapping[str, Mapping[str, Metric]] = MappingProxyType(
    {
        "blood_pressure_monitor": {
            "systolic": _PRESSURE_HIGH,
            "diastolic": _PRESSURE_LOW,
            "mean_arterial_pressure": _PRESSURE_MEAN,
            "heart_rate": _RATE,
            "pulse": _RATE,
        },
        "glucose_meter": {
            "glucose": _GLUCOSE,
            "blood_glucose": _GLUCOSE,
            "glucose_level": _GLUCOSE,
        },
        "pulse_oximeter": {
            "spo2": _SATURATION,
            "oxygen_saturation": _SATURATION,
            "pulse": _RATE,
            "pulse_rate": _RATE,
            "heart_rate": _RATE,
        },
        "ecg_monitor": {"heart_rate": _RATE},
        "weight_scale": {"weight": _WEIGHT, "body_weight": _WEIGHT},
        "temperature_sensor": {"temperature": _TEMPERATURE, "body_temperature": _TEMPERATURE},
    }
)


def declared_types() -> list[kit.DeviceType]:
    """Return the catalogue as the app declares it. Its handlers do the comparing themselves."""
    return [
        kit.DeviceType(name, metrics=tuple(_declared(*each) for each in metrics.items()))
        for name, metrics in DEVICE_TYPES.items()
    ]


def _declared(name: str, metric: Metric) -> kit.Metric:
    others = [
        kit.MetricRange(unit, low, high)
        for unit, (low, high) in metric.ranges.items()
        if unit != metric.unit
    ]
    return kit.Metric(name, metric.unit, metric.low, metric.high, others=tuple(others))


_NO_METRICS: Mapping[str, Metric] = MappingProxyType({})


def metric_of(device_type: str, name: str) -> Metric:
    """Return what is known of a metric, by its own name or its last part; FREE if nothing is."""
    metrics = DEVICE_TYPES.get(device_type, _NO_METRICS)
    found = metrics.get(name)
    if found is not None or not metrics:
        return found or FREE
    return metrics.get(name.rpartition(".")[2].lower(), FREE)
