"""Terms: what the app is told by settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetwire.kit import SettingsError

TRUTHS = {"": None, "1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Terms:
    """`values_per_second` is how many values of one variable a dashboard is shown at most."""

    values_per_second: float = 5.0
    broadcast_all: bool = False  # datastreams-update to everybody of the organisation
    keep_days: float = 0.0  # values older than that are removed; 0 = none
    command_expires_s: float = 300.0  # a state that could not be delivered by then is not

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Terms":
        """Return what these settings say. Raises SettingsError naming the one that is wrong."""
        return cls(
            values_per_second=_number(settings, "FARM_VALUES_PER_SECOND", 5.0, 100),
            keep_days=_number(settings, "FARM_KEEP_DAYS", 0.0, 36_500),
            broadcast_all=_truth(settings, "ENABLE_BROADCAST_ALL"),
            command_expires_s=_number(settings, "FARM_COMMAND_EXPIRES_S", 300.0, 30 * 86_400),
        )


def _number(settings: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = settings.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise SettingsError(f"{name}={text!r} must be a number above 0, up to {most:g}")
    return number


def _truth(settings: Mapping[str, str], name: str) -> bool:
    text = settings.get(name, "").strip().lower()
    if text not in TRUTHS:
        raise SettingsError(f"{name}={text!r} must be true or false")
    return bool(TRUTHS[text])
