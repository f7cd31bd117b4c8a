"""What virtual medical devices measure: plausible, and the same again for the same seed."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from fleetwire.kit.instants import iso

ECG_SAMPLE_RATE = 250  # samples a second
ECG_BLOCK = 50


@dataclass(frozen=True)
class Vital:
    """A number that wanders: where it rests, how far it strays, its decimals."""

    rest: float
    stray: float
    digits: int = 0


# Device type -> metric_type -> named values; a single value named "value" is sent with its unit.
VITALS: dict[str, tuple[str, str, dict[str, Vital]]] = {
    "blood_pressure_monitor": (
        "blood_pressure",
        "mmHg",
        {"systolic": Vital(122, 12), "diastolic": Vital(79, 8), "heart_rate": Vital(72, 10)},
    ),
    "pulse_oximeter": ("oximetry", "%", {"spo2": Vital(97, 1.5), "pulse": Vital(72, 10)}),
    "glucose_meter": ("glucose", "mg/dL", {"value": Vital(104, 20)}),
    "temperature_sensor": ("temperature", "Cel", {"value": Vital(36.8, 0.4, 1)}),
    "weight_scale": ("weight", "kg", {"value": Vital(74, 0.6, 1)}),
    "ecg_monitor": ("ecg", "mV", {"heart_rate": Vital(70, 8)}),
}
TYPES = tuple(VITALS)


class VirtualDevice:
    """One device bound to one patient; its values are a function of seed and number."""

    __slots__ = ("_levels", "_random", "device_id", "patient_id", "type")

    def __init__(self, number: int, seed: int) -> None:
        self.device_id = f"sim-{number:04d}"
        self.patient_id = f"SIM-P-{number:04d}"
        self.type = TYPES[number % len(TYPES)]
        self._random = Random(f"{seed}:{number}")
        self._levels: dict[str, float] = {}

    def registration(self) -> dict[str, Any]:
        """Return the body that registers it."""
        return {
            "device_id": self.device_id,
            "type": self.type,
            "patient_id": self.patient_id,
            "model": "virtual",
            "serial_number": f"V{self._random.getrandbits(32):08X}",
        }

    def reading(self, at: int) -> bytes:
        """Return the payload of one data message measured at this instant."""
        metric_type, unit, vitals = VITALS[self.type]
        body: dict[str, Any] = {
            "device_id": self.device_id,
            "metric_type": metric_type,
            "timestamp": iso(at),
        }
        for name, vital in vitals.items():
            body[name] = self._next(name, vital)
        if self.type == "ecg_monitor":
            body["sample_rate"] = ECG_SAMPLE_RATE
            body["samples"] = [round(self._random.gauss(0, 0.3), 3) for _ in range(ECG_BLOCK)]
        body["unit"] = unit
        return json.dumps(body).encode()

    def status(self, status: str) -> bytes:
        """Return the payload of one status message."""
        battery = self._next("battery", Vital(80, 15))
        signal = self._next("signal_strength", Vital(-60, 12))
        body = {
            "device_id": self.device_id,
            "status": status,
            "battery": max(1, min(100, battery)),
            "signal_strength": signal,
        }
        return json.dumps(body).encode()

    def _next(self, name: str, vital: Vital) -> float:
        # Back to rest by a tenth, and a step aside: neighbours in time are neighbours in value.
        level = self._levels.get(name, vital.rest)
        level += (vital.rest - level) * 0.1 + self._random.gauss(0, vital.stray * 0.3)
        level = max(vital.rest - 2 * vital.stray, min(vital.rest + 2 * vital.stray, level))
        self._levels[name] = level
        return round(level, vital.digits) if vital.digits else round(level)
