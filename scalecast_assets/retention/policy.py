"""How long what is kept, as the settings say; 0 is for ever."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SAFETY: Final = timedelta(hours=24)
"""Nothing younger is ever removed: a run that goes on now may be about to point to it."""


@dataclass(frozen=True)
class Policy:
    """Numbers of versions or days, by kind; 0: for ever. Their defaults are in ``settings.py``."""

    models: int
    training_sets_days: int
    states_days: int
    forecasts_days: int
    quarantine_days: int
    logs_days: int
    alerts_days: int
    runs_days: int


def limit(days: int, now: datetime) -> datetime:
    """The moment before which things of this kind may go: never after the safety age."""
    return now - max(timedelta(days=days), SAFETY)
