"""How much is kept of a tablet, how long, and when it counts as gone; what is older is removed."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete

from fleetwire.apps.tablets.tables import locations, metrics
from fleetwire.kit import DomainError, SettingsError, Store, Transaction
from fleetwire.kit.durations import parse_duration

DAY_S = 86_400.0


@dataclass(frozen=True)
class Bounds:
    """What settings can move. A tablet sends its status every 30 s: three may be missed."""

    silent_after_s: float = 90.0
    kept_locations: int = 100  # of each tablet
    kept_s: float = 7 * DAY_S
    moved_m: float = 50.0  # a shorter way is no new place
    command_expires_in_s: float = DAY_S

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Bounds":
        """Return the bounds by TABLETS_SILENT_AFTER, TABLETS_KEPT_LOCATIONS, TABLETS_KEPT_FOR,
        TABLETS_MOVED_M and TABLETS_COMMAND_EXPIRES_IN. Raises SettingsError.
        """
        return cls(
            silent_after_s=_length(settings, "TABLETS_SILENT_AFTER", cls.silent_after_s),
            kept_locations=round(
                _number(settings, "TABLETS_KEPT_LOCATIONS", cls.kept_locations, 1, 100_000)
            ),
            kept_s=_length(settings, "TABLETS_KEPT_FOR", cls.kept_s),
            moved_m=_number(settings, "TABLETS_MOVED_M", cls.moved_m, 0, 1_000_000),
            command_expires_in_s=_length(
                settings, "TABLETS_COMMAND_EXPIRES_IN", cls.command_expires_in_s
            ),
        )


def _length(settings: Mapping[str, str], name: str, default: float) -> float:
    text = settings.get(name, "").strip()
    if not text:
        return default
    try:
        seconds = parse_duration(text, name)
    except DomainError as error:
        raise SettingsError(f"{name}={text!r}: {error.message}.") from None
    if not 1 <= seconds <= 365 * DAY_S:
        raise SettingsError(f"{name}={text!r} must be between 1s and 365d.")
    return seconds


def _number(
    settings: Mapping[str, str], name: str, default: float, least: float, most: float
) -> float:
    text = settings.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        raise SettingsError(f"{name}={text!r} must be a number.") from None
    if not least <= number <= most:
        raise SettingsError(f"{name}={text!r} must be between {least:g} and {most:g}.")
    return number


async def prune(store: Store, kept_s: float, at: int) -> None:
    """Remove places and metrics that were received longer ago than that at this instant."""
    before_at = at - round(kept_s * 1e6)

    def work(tx: Transaction) -> None:
        for table in (locations, metrics):
            tx.execute(delete(table).where(table.c.received_at < before_at))

    await store.write(work)
